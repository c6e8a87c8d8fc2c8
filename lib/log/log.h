/*
 * The server's log: lines for people or JSON objects, each written whole by one write(2) to standard error or a file.
 * Only the application logs; libraries return errors. Any thread may write; opening is for the start, before there are
 * others.
 *
 * This is the one thing that is global, like the descriptor that it stands for: a log that had to be handed down
 * everywhere would be missing where it is needed. Never log a secret: no tokens, passwords, keys, nor the query or body
 * of a request.
 *
 * A JSON line has time, level, message, suppressed (when some were), then the context (request_id, user, room), then
 * the line's own fields. Warnings and errors come in floods when something is broken: beyond LOG_BURST of one kind (one
 * place in the code) within a second the rest of that second is left out, and the next line of that kind tells how many
 * were.
 */
#pragma once

#include "base/base.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };
enum log_format { LOG_TEXT, LOG_JSON };

#define LOG_BURST    20
#define LOG_MAX_LINE 8192 /* what is longer loses its end, not its form */

struct log_config {
	enum log_level level; /* the least to be written */
	enum log_format format;
	struct str file; /* empty: standard error */
};

/* Until this is called, LOG_INFO and above go to standard error as text. An error leaves things as they were. */
bool log_open(const struct log_config *config, struct err *err);
/* Opens the file anew, after it has been renamed: for SIGHUP. */
bool log_reopen(struct err *err);
void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);

/* What this thread is working for, added to all its lines until it is cleared. Copied; empty strings are left out. */
void log_context(struct str request_id, struct str user, struct str room);
void log_context_user(struct str user);
void log_context_room(struct str room);
void log_context_clear(void);

struct log_field {
	const char *key; /* ours: a plain word */
	bool is_text;
	struct str text;
	int64_t number;
};
#define LOG_STR(name, value) ((struct log_field){ .key = (name), .is_text = true, .text = (value) })
#define LOG_INT(name, value) ((struct log_field){ .key = (name), .number = (value) })

/* log_with(LOG_INFO, LOG_FIELDS(LOG_STR("path", path), LOG_INT("status", 200)), "answered"); */
void log_write(enum log_level level, const struct log_field *fields, size_t field_count, const char *fmt, ...)
	PRINTF_LIKE(4, 5);
#define LOG_FIELDS(...)                                                                                                \
	(const struct log_field[]){ __VA_ARGS__ },                                                                     \
		sizeof((const struct log_field[]){ __VA_ARGS__ }) / sizeof(struct log_field)
#define log_with(level, ...) (log_enabled(level) ? log_write((level), __VA_ARGS__) : (void)0)
#define log_at(level, ...)   (log_enabled(level) ? log_write((level), NULL, 0, __VA_ARGS__) : (void)0)
#define log_debug(...)       log_at(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)        log_at(LOG_INFO, __VA_ARGS__)
#define log_warning(...)     log_at(LOG_WARNING, __VA_ARGS__)
#define log_error(...)       log_at(LOG_ERROR, __VA_ARGS__)
