/*
 * Certificates for GnuTLS. A reload puts a new generation up for the handshakes that follow; earlier ones are kept
 * until the end, since a handshake may still read them, and certificates change a few times a year.
 */
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>

#include "http/internal.h"

#define MAX_CHAIN 16

struct generation {
	struct generation *older;
	gnutls_pcert_st chain[MAX_CHAIN];
	unsigned chain_len;
	gnutls_privkey_t key;
};

struct tls {
	char *certificate_path, *key_path;
	struct mutex lock; /* of reloads */
	_Atomic(struct generation *) current;
};

static void generation_free(struct generation *generation)
{
	for (unsigned i = 0; i < generation->chain_len; i++)
		gnutls_pcert_deinit(&generation->chain[i]);
	if (generation->key)
		gnutls_privkey_deinit(generation->key);
	free(generation);
}
DEFINE_CLEANUP(struct generation *, generation_free)

static bool failed(const char *path, int code, struct err *err)
{
	return err_set(err, M_UNKNOWN, "%s: %s", path, gnutls_strerror(code));
}

static bool load_chain(const char *path, struct generation *generation, struct err *err)
{
	gnutls_datum_t pem = { 0 };
	unsigned count = MAX_CHAIN;
	int code = gnutls_load_file(path, &pem);

	if (code < 0)
		return failed(path, code, err);
	code = gnutls_pcert_list_import_x509_raw(generation->chain, &count, &pem, GNUTLS_X509_FMT_PEM,
						 GNUTLS_X509_CRT_LIST_SORT);
	gnutls_free(pem.data);
	if (code < 0)
		return failed(path, code, err);
	generation->chain_len = count;
	return true;
}

static bool load_key(const char *path, struct generation *generation, struct err *err)
{
	gnutls_datum_t pem = { 0 };
	int code = gnutls_load_file(path, &pem);

	if (code >= 0)
		code = gnutls_privkey_init(&generation->key);
	if (code >= 0)
		code = gnutls_privkey_import_x509_raw(generation->key, &pem, GNUTLS_X509_FMT_PEM, NULL, 0);
	if (pem.data)
		gnutls_memset(pem.data, 0, pem.size);
	gnutls_free(pem.data);
	return code >= 0 || failed(path, code, err);
}

/* The key is the certificate's: otherwise every handshake would fail. */
static bool key_fits(const struct generation *generation)
{
	unsigned char theirs[64], ours[64];
	size_t theirs_len = sizeof(theirs), ours_len = sizeof(ours);
	gnutls_pubkey_t public;
	bool fits;

	if (gnutls_pubkey_init(&public) < 0)
		return false;
	fits = gnutls_pubkey_import_privkey(public, generation->key, 0, 0) >= 0 &&
	       gnutls_pubkey_get_key_id(public, GNUTLS_KEYID_USE_SHA256, ours, &ours_len) >= 0 &&
	       gnutls_pubkey_get_key_id(generation->chain[0].pubkey, GNUTLS_KEYID_USE_SHA256, theirs, &theirs_len) >=
		       0 &&
	       ours_len == theirs_len && memcmp(ours, theirs, ours_len) == 0;
	gnutls_pubkey_deinit(public);
	return fits;
}

bool tls_reload(struct tls *tls, struct err *err)
{
	CLEANUP(generation_free) struct generation *generation = X_NEW(struct generation);

	if (!load_chain(tls->certificate_path, generation, err) || !load_key(tls->key_path, generation, err))
		return false;
	if (!key_fits(generation))
		return err_set(err, M_UNKNOWN, "%s is not the key of %s", tls->key_path, tls->certificate_path);
	LOCKED(&tls->lock);
	generation->older = tls->current;
	tls->current = TAKE(generation);
	return true;
}

bool tls_new(struct str certificate_path, struct str key_path, struct tls **ret_tls, struct err *err)
{
	struct tls *tls = X_NEW(struct tls);

	tls->certificate_path = x_strdup(certificate_path);
	tls->key_path = x_strdup(key_path);
	mutex_init(&tls->lock);
	if (!tls_reload(tls, err)) {
		tls_free(tls);
		return false;
	}
	*ret_tls = tls;
	return true;
}

void tls_free(struct tls *tls)
{
	if (!tls)
		return;
	for (struct generation *generation = tls->current, *older; generation; generation = older) {
		older = generation->older;
		generation_free(generation);
	}
	mutex_done(&tls->lock);
	free(tls->certificate_path);
	free(tls->key_path);
	free(tls);
}

/* A gnutls_certificate_retrieve_function2. Several domains will choose by the session's server name here. */
int tls_retrieve(gnutls_session_t session, const gnutls_datum_t *ca_names UNUSED, int ca_count UNUSED,
		 const gnutls_pk_algorithm_t *algorithms UNUSED, int algorithm_count UNUSED,
		 gnutls_pcert_st **ret_chain, unsigned *ret_len, gnutls_privkey_t *ret_key)
{
	struct MHD_Connection *connection = gnutls_session_get_ptr(session); /* libmicrohttpd's */
	struct generation *generation = connection_peer(connection)->listener->http->tls->current;

	*ret_chain = generation->chain;
	*ret_len = generation->chain_len;
	*ret_key = generation->key;
	return 0;
}
