/*
 * Configuration: YAML files read against a table of options into a plain struct. The table is the only place that knows
 * an option: its type, default, words for the manual, and where its value goes; the commented sample is written from it
 * too.
 *
 * All faults of all files are collected, each with its file and line. Unknown keys are warnings, never errors. The
 * syntax of values is Synapse's: durations are numbers of milliseconds or `5m`, sizes are numbers of bytes or `50M`,
 * secrets may stand in a file of their own
 * (`x_path` beside `x`), later files replace whole top-level keys of earlier ones, a directory stands for its *.yaml in
 * sorted order. Unlike Synapse's, relative paths count from the folder of the file that names them.
 *
 * Everything read lives in the arena. One thread at a time.
 */
#pragma once

#include "base/base.h"

enum config_type {
	CONFIG_SECTION, /* no option: `doc` is a headline of the sample */
	CONFIG_UNUSED, /* accepted and not read, whatever it holds: `doc` says why. Not in the sample. `x_*` names many.
			*/
	CONFIG_STRING, /* struct str: the text of a scalar */
	CONFIG_PATH,   /* struct str, absolute */
	CONFIG_SECRET, /* struct str; the sibling PATH_path names a file that holds it */
	CONFIG_BOOL,   /* bool */
	CONFIG_INT,    /* int64_t within min to max */
	CONFIG_DURATION, /* int64_t, milliseconds, within min to max */
	CONFIG_SIZE,     /* int64_t, bytes, within min to max */
	CONFIG_MODE,     /* int64_t: the permissions of a file, octal */
	CONFIG_ENUM,     /* int: a place in `choices` */
	CONFIG_RATE,     /* struct config_rate, from {per_second, burst_count} */
	CONFIG_STRINGS,  /* struct config_strings, from a list of scalars, or one scalar */
	CONFIG_LIST,     /* a pointer and a count, as CONFIG_ARRAY_OF declares them, from a list of maps, each read by
			    `items` */
	CONFIG_MAP,      /* the same from a map of maps; the key goes to the struct str that each item begins with */
	CONFIG_JSON,     /* struct str: any value, as JSON text */
};

struct config_rate {
	double per_second, burst_count;
};

struct config_strings {
	struct str *items;
	size_t count;
};

#define CONFIG_ARRAY_OF(type)                                                                                          \
	struct {                                                                                                       \
		type *items;                                                                                           \
		size_t count;                                                                                          \
	}

enum config_flags {
	CONFIG_REQUIRED = 1,
	CONFIG_RELOAD = 2, /* a changed value counts at once when the configuration is read again */
	CONFIG_CREATE = 4, /* a secret whose file does not exist is made up and written there, when the reader may
			      (config_may_create) */
	CONFIG_WARN = 8,   /* of CONFIG_UNUSED: a warning, since somebody may rely on it */
	CONFIG_NULL_IS_FOREVER = 16, /* of CONFIG_DURATION: null is CONFIG_FOREVER; elsewhere null is as if not given */
};

#define CONFIG_FOREVER INT64_MAX

struct config;
struct config_place; /* a file and a line */

struct config_option {
	const char *path; /* dotted: "log.level"; NULL with CONFIG_SECTION; an all-zero row ends the table */
	enum config_type type;
	unsigned flags;
	size_t offset;
	const char *fallback; /* the default, as YAML. NULL: zero, empty */
	const char *doc;
	const char *example;        /* what the sample shows, as YAML, where it is not the default */
	int64_t min, max;           /* max 0: no upper bound */
	const char *const *choices; /* NULL-terminated; `true`, `off` and so on match all spellings of these */
	const struct config_option *items;
	size_t item_size;
	/* Looks at the value that has been read (each item of a list or map) and raises what is wrong with it. */
	void (*check)(struct config *config, const struct config_place *place, const void *value);
};

/* `CONFIG_AT(STRING, struct options, server_name)`: type and offset, if the member has the type that the option needs.
 */
#define CONFIG_AT(kind, owner, member)                                                                                 \
	.type = CONFIG_##kind, .offset = CONFIG_OFFSET(owner, member, CONFIG_CTYPE_##kind)
#define CONFIG_OFFSET(owner, member, ctype) _Generic(((owner *)0)->member, ctype : offsetof(owner, member))
#define CONFIG_CTYPE_STRING                 struct str
#define CONFIG_CTYPE_PATH                   struct str
#define CONFIG_CTYPE_SECRET                 struct str
#define CONFIG_CTYPE_JSON                   struct str
#define CONFIG_CTYPE_BOOL                   bool
#define CONFIG_CTYPE_INT                    int64_t
#define CONFIG_CTYPE_DURATION               int64_t
#define CONFIG_CTYPE_SIZE                   int64_t
#define CONFIG_CTYPE_MODE                   int64_t
#define CONFIG_CTYPE_ENUM                   int
#define CONFIG_CTYPE_RATE                   struct config_rate
#define CONFIG_CTYPE_STRINGS                struct config_strings
/* For lists and maps of maps: `CONFIG_EACH(LIST, struct options, listeners, listener_options)`. */
#define CONFIG_EACH(kind, owner, member, table)                                                                        \
	.type = CONFIG_##kind, .offset = offsetof(owner, member), .items = (table),                                    \
	.item_size = sizeof(*((owner *)0)->member.items)

enum config_severity { CONFIG_ERROR, CONFIG_WARNING, CONFIG_INFO };

struct config_fault {
	enum config_severity severity;
	struct str file;
	size_t line; /* from 1; 0: the file as a whole */
	struct str text;
};

struct config *config_new(struct arena *arena) RETURNS_NONNULL;
/* Secrets marked CONFIG_CREATE may be written from now on. */
void config_may_create(struct config *config);
/* Adds a file, or the *.yaml of a directory. What is wrong becomes a fault. */
void config_add_file(struct config *config, struct str path);
/* Adds a text as if it had stood in the file `name`. */
void config_add_text(struct config *config, struct str name, struct str text);
/* Fills `out` by the table: defaults first, then what the files say. false: there are errors, *out is not to be used.
 */
bool config_read(struct config *config, const struct config_option *table, void *out);

/* The faults found up to now, in the order in which they were found. A flood of them ends with the hundredth. */
const struct config_fault *config_faults(const struct config *config, size_t *ret_count);
bool config_ok(const struct config *config); /* no errors */

/* Whether a file names the option of this path, and where (with the first file as a whole when none does). After
 * config_read. */
bool config_given(const struct config *config, const char *path);
const struct config_place *config_place(const struct config *config, const char *path);
/* The same of an item of a list or map of maps that the table names. */
const struct config_place *config_item_place(const struct config *config, const char *path, size_t index);
/* Raises a fault at a place. Always false, also for warnings. */
bool config_raise(struct config *config, const struct config_place *place, enum config_severity severity,
		  const char *fmt, ...) PRINTF_LIKE(4, 5);
/* A path as the file that was added first would mean it. */
struct str config_resolve(const struct config *config, struct str path);

/*
 * Two structs read by the same table, `running` and the `fresh` one of a later reading: gives `fresh` the running
 * values of all options that cannot change in a running process, with a warning for each that differs. `fresh` is then
 * what counts; it points into both arenas.
 */
void config_keep(struct config *config, const struct config_option *table, const void *running, void *fresh);

/* The sample: every option with its words, commented out, but those in `set`, which stand there with these values. */
struct config_setting {
	const char *path;
	struct str yaml; /* several lines: indented by two blanks for each level below the option */
};
void config_write_sample(const struct config_option *table, const struct config_setting *set, size_t set_count,
			 struct buf *buf);
/* A scalar that reads back as this string. */
struct str config_quote(struct arena *arena, struct str text);

/* Readers of single values, in the file's syntax, also for the command line. */
bool config_bool(struct str text, bool *ret_value);
bool config_duration(struct str text, int64_t *ret_ms);
bool config_size(struct str text, int64_t *ret_bytes);
