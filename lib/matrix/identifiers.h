/*
 * Identifiers: what is one, and its parts as views (appendices, "Identifier Grammar"). They are checked once, where
 * they come in; the functions take any bytes. All are case-sensitive, and none is longer than 255 bytes.
 */
#pragma once

#include "base/base.h"

#define IDENTIFIER_MAX 255

enum server_name_kind { SERVER_NAME_DNS, SERVER_NAME_IPV4, SERVER_NAME_IPV6 };

struct server_name {
	enum server_name_kind kind;
	struct str host; /* an IPv6 address without its brackets */
	int port;        /* -1: none given */
};
bool server_name_parse(struct str text, struct server_name *ret_name);
bool server_name_valid(struct str text);

/* `&localpart:domain`, without the sigil. The domain is empty where the identifier has none. */
struct identifier {
	struct str localpart, domain;
};

/*
 * User IDs as events may have them, historical ones among them: any localpart, also an empty one, without `:` and NUL.
 * `user_id_compliant`: the localpart is printable ASCII and not empty; IDs of others are not to be shown to clients
 * outside of events.
 */
bool user_id_parse(struct str text, struct identifier *ret_id);
bool user_id_valid(struct str text);
bool user_id_compliant(struct str text);
/* A localpart that a new user may have: a-z 0-9 . _ = - / +, not empty. Its length is checked with the server name. */
bool user_localpart_valid(struct str localpart);

/* Room IDs, with a domain (versions 1 to 11) or made of a create event's ID (12). */
bool room_id_parse(struct str text, struct identifier *ret_id);
bool room_id_valid(struct str text);
bool room_alias_parse(struct str text, struct identifier *ret_id);
bool room_alias_valid(struct str text);
/* Event IDs of any version; event_id_parse takes those of versions 1 and 2 apart and fails on others. */
bool event_id_valid(struct str text);
bool event_id_parse(struct str text, struct identifier *ret_id);

/* What follows the first `:` of an identifier; empty when there is none. No check: for identifiers known to be good. */
struct str identifier_domain(struct str text);

/* "Common Namespaced Identifier Grammar" and "Opaque Identifiers". */
bool namespaced_id_valid(struct str text);
bool opaque_id_valid(struct str text);
