/*
 * Errors. One type for the world's faults; `assert` is for our own. The bottom says what happened in words fit for the client, callers
 * add what helps us (`err_detail`, for the log alone), the top makes it a reply. All raise with one line: the functions return false.
 * Errcodes and their usual status: specification, client-server-api "Standard error response".
 */
#pragma once

#include "base/str.h"

#define ERRCODES(X)                                                                                                    \
	X(M_FORBIDDEN, 403)                                                                                            \
	X(M_UNKNOWN_TOKEN, 401)                                                                                        \
	X(M_MISSING_TOKEN, 401)                                                                                        \
	X(M_USER_LOCKED, 401)                                                                                          \
	X(M_USER_SUSPENDED, 403)                                                                                       \
	X(M_USER_DEACTIVATED, 403)                                                                                     \
	X(M_BAD_JSON, 400)                                                                                             \
	X(M_NOT_JSON, 400)                                                                                             \
	X(M_NOT_FOUND, 404)                                                                                            \
	X(M_LIMIT_EXCEEDED, 429)                                                                                       \
	X(M_UNRECOGNIZED, 404)                                                                                         \
	X(M_UNKNOWN, 500)                                                                                              \
	X(M_UNAUTHORIZED, 401)                                                                                         \
	X(M_USER_IN_USE, 400)                                                                                          \
	X(M_INVALID_USERNAME, 400)                                                                                     \
	X(M_ROOM_IN_USE, 400)                                                                                          \
	X(M_INVALID_ROOM_STATE, 400)                                                                                   \
	X(M_THREEPID_IN_USE, 400)                                                                                      \
	X(M_THREEPID_NOT_FOUND, 400)                                                                                   \
	X(M_THREEPID_AUTH_FAILED, 400)                                                                                 \
	X(M_THREEPID_DENIED, 403)                                                                                      \
	X(M_SERVER_NOT_TRUSTED, 400)                                                                                   \
	X(M_UNSUPPORTED_ROOM_VERSION, 400)                                                                             \
	X(M_INCOMPATIBLE_ROOM_VERSION, 400)                                                                            \
	X(M_BAD_STATE, 400)                                                                                            \
	X(M_GUEST_ACCESS_FORBIDDEN, 403)                                                                               \
	X(M_CAPTCHA_NEEDED, 400)                                                                                       \
	X(M_CAPTCHA_INVALID, 400)                                                                                      \
	X(M_MISSING_PARAM, 400)                                                                                        \
	X(M_INVALID_PARAM, 400)                                                                                        \
	X(M_TOO_LARGE, 413)                                                                                            \
	X(M_EXCLUSIVE, 400)                                                                                            \
	X(M_RESOURCE_LIMIT_EXCEEDED, 403)                                                                              \
	X(M_CANNOT_LEAVE_SERVER_NOTICE_ROOM, 403)                                                                      \
	X(M_WRONG_ROOM_KEYS_VERSION, 403)                                                                              \
	X(M_DUPLICATE_ANNOTATION, 400)                                                                                 \
	X(M_BAD_ALIAS, 400)                                                                                            \
	X(M_WEAK_PASSWORD, 400)                                                                                        \
	X(M_PASSWORD_TOO_SHORT, 400)                                                                                   \
	X(M_INVALID_SIGNATURE, 400)                                                                                    \
	X(M_UNKNOWN_DEVICE, 404)                                                                                       \
	X(M_UNABLE_TO_AUTHORISE_JOIN, 400)                                                                             \
	X(M_UNABLE_TO_GRANT_JOIN, 400)                                                                                 \
	X(M_CANNOT_OVERWRITE_MEDIA, 409)                                                                               \
	X(M_NOT_YET_UPLOADED, 504)                                                                                     \
	X(M_UNKNOWN_POS, 400)                                                                                          \
	X(M_KEY_TOO_LARGE, 400)                                                                                        \
	X(M_PROFILE_TOO_LARGE, 400)                                                                                    \
	X(M_TOKEN_INCORRECT, 403)                                                                                      \
	X(M_INVITE_BLOCKED, 403)

enum errcode {
#define ERRCODE_ENUM(code, status) code,
	ERRCODES(ERRCODE_ENUM)
#undef ERRCODE_ENUM
};

struct err {
	enum errcode code;
	int status;             /* HTTP; 0: nothing was raised */
	int64_t retry_after_ms; /* with M_LIMIT_EXCEEDED and 503; 0: absent */
	char message[256];      /* for the client */
	char extra[256];        /* more members of the reply's object, as JSON text: "\"soft_logout\":true", or empty */
	char detail[512];       /* for the log */
};

/* Raises. The status is the table's. */
bool err_set(struct err *err, enum errcode code, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Raises with another status than the table's (405 with M_UNRECOGNIZED, 503 with M_UNKNOWN …). */
bool err_status(struct err *err, int status, enum errcode code, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* A fault of ours or of the database: 500 M_UNKNOWN "Internal server error" to the client, the text to the log. */
bool err_internal(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Adds to the detail of an error that has been raised; the latest stands first. */
bool err_detail(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Adds members to the reply: err_extra(err, "\"current_version\":\"%s\"", v). The caller escapes. */
bool err_extra(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);
bool err_limited(struct err *err, int64_t retry_after_ms); /* 429 */
const char *errcode_name(enum errcode code);
bool errcode_parse(struct str name, enum errcode *ret_code);
