#include "base/err.h"

#include <stdarg.h>

static const struct {
	const char *name;
	int status;
} errcodes[] = {
#define ERRCODE_ROW(code, status) [code] = { #code, status },
	ERRCODES(ERRCODE_ROW)
#undef ERRCODE_ROW
};

static void raise_error(struct err *err, int status, enum errcode code)
{
	*err = (struct err){ .code = code, .status = status };
}

bool err_set(struct err *err, enum errcode code, const char *fmt, ...)
{
	va_list args;

	raise_error(err, errcodes[code].status, code);
	va_start(args, fmt);
	vsnprintf(err->message, sizeof(err->message), fmt, args);
	va_end(args);
	return false;
}

bool err_status(struct err *err, int status, enum errcode code, const char *fmt, ...)
{
	va_list args;

	raise_error(err, status, code);
	va_start(args, fmt);
	vsnprintf(err->message, sizeof(err->message), fmt, args);
	va_end(args);
	return false;
}

bool err_internal(struct err *err, const char *fmt, ...)
{
	va_list args;

	raise_error(err, 500, M_UNKNOWN);
	snprintf(err->message, sizeof(err->message), "Internal server error");
	va_start(args, fmt);
	vsnprintf(err->detail, sizeof(err->detail), fmt, args);
	va_end(args);
	return false;
}

bool err_detail(struct err *err, const char *fmt, ...)
{
	char before[sizeof(err->detail)];
	va_list args;
	int len;

	memcpy(before, err->detail, sizeof(before));
	va_start(args, fmt);
	len = vsnprintf(err->detail, sizeof(err->detail), fmt, args);
	va_end(args);
	if (before[0] && len >= 0 && (size_t)len < sizeof(err->detail))
		snprintf(err->detail + len, sizeof(err->detail) - (size_t)len, ": %s", before);
	return false;
}

bool err_extra(struct err *err, const char *fmt, ...)
{
	size_t used = strlen(err->extra);
	va_list args;
	int len;

	if (used && used + 1 < sizeof(err->extra))
		err->extra[used++] = ',';
	va_start(args, fmt);
	len = vsnprintf(err->extra + used, sizeof(err->extra) - used, fmt, args);
	va_end(args);
	if (len < 0 || (size_t)len >= sizeof(err->extra) - used) /* half a member would not be JSON */
		err->extra[used ? used - 1 : 0] = 0;
	return false;
}

bool err_limited(struct err *err, int64_t retry_after_ms)
{
	err_set(err, M_LIMIT_EXCEEDED, "Too many requests");
	err->retry_after_ms = MAX(retry_after_ms, 1);
	return false;
}

const char *errcode_name(enum errcode code)
{
	return errcodes[code].name;
}

bool errcode_parse(struct str name, enum errcode *ret_code)
{
	for (size_t i = 0; i < ARRAY_LEN(errcodes); i++) {
		if (str_eq(name, str_of(errcodes[i].name))) {
			*ret_code = (enum errcode)i;
			return true;
		}
	}
	return false;
}
