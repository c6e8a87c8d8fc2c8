#include "log/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/utf8.h"

#define MAX_MESSAGE 2048
#define MAX_VALUE   1024
#define FLOOD_SLOTS 64

static struct {
	_Atomic int fd;
	_Atomic int level;
	_Atomic int format;
	_Atomic bool journal; /* standard error leads to the service manager's journal, which has its own clock and
				 wants levels in front */
	char path[PATH_MAX];
} out = { .fd = STDERR_FILENO, .level = LOG_INFO };

struct context_value {
	size_t len;
	char text[256];
};

static _Thread_local struct {
	struct context_value request_id, user, room;
} context;

/* One kind of line, known by its format string; two that share a slot share its bounds. */
struct flood {
	int64_t second;
	uint32_t written, suppressed;
};

static struct flood floods[FLOOD_SLOTS];
static pthread_mutex_t flood_lock = PTHREAD_MUTEX_INITIALIZER;

static int open_file(const char *path)
{
	return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
}

/* systemd.exec(5), $JOURNAL_STREAM: device and inode of the stream that leads to the journal. */
static bool leads_to_journal(int fd)
{
	const char *stream = getenv("JOURNAL_STREAM");
	struct stat status;
	char own[64];

	if (!stream || fstat(fd, &status) != 0)
		return false;
	snprintf(own, sizeof(own), "%ju:%ju", (uintmax_t)status.st_dev, (uintmax_t)status.st_ino);
	return strcmp(own, stream) == 0;
}

bool log_open(const struct log_config *config, struct err *err)
{
	int fd = STDERR_FILENO, old = out.fd;

	if (config->file.len >= sizeof(out.path))
		return err_internal(err, "the path of the log file is too long");
	if (config->file.len) {
		char path[PATH_MAX];

		snprintf(path, sizeof(path), "%.*s", STR_ARG(config->file));
		fd = open_file(path);
		if (fd < 0)
			return err_internal(err, "log file %s: %s", path, strerror(errno));
	}
	snprintf(out.path, sizeof(out.path), "%.*s", STR_ARG(config->file));
	out.level = (int)config->level;
	out.format = (int)config->format;
	out.journal = leads_to_journal(fd);
	out.fd = fd;
	if (old != STDERR_FILENO)
		close(old);
	return true;
}

bool log_reopen(struct err *err)
{
	int fd;

	if (!out.path[0])
		return true;
	fd = open_file(out.path);
	if (fd < 0)
		return err_internal(err, "log file %s: %s", out.path, strerror(errno));
	dup3(fd, out.fd, O_CLOEXEC); /* the number stays, so that no writer holds one that is gone */
	close(fd);
	return true;
}

void log_set_level(enum log_level level)
{
	out.level = (int)level;
}

bool log_enabled(enum log_level level)
{
	return (int)level >= atomic_load_explicit(&out.level, memory_order_relaxed);
}

static void keep(struct context_value *value, struct str text)
{
	value->len = MIN(text.len, sizeof(value->text));
	if (value->len)
		memcpy(value->text, text.ptr, value->len);
}

void log_context(struct str request_id, struct str user, struct str room)
{
	keep(&context.request_id, request_id);
	keep(&context.user, user);
	keep(&context.room, room);
}

void log_context_user(struct str user)
{
	keep(&context.user, user);
}

void log_context_room(struct str room)
{
	keep(&context.room, room);
}

void log_context_clear(void)
{
	context.request_id.len = context.user.len = context.room.len = 0;
}

/* false: enough of these have been written within this second. */
static bool admit(enum log_level level, const char *fmt, uint32_t *ret_suppressed)
{
	struct flood *flood = &floods[id_hash((int64_t)(intptr_t)fmt) % FLOOD_SLOTS];
	int64_t second = clock_mono_ms() / 1000;
	bool admitted;

	*ret_suppressed = 0;
	if (level < LOG_WARNING)
		return true;
	pthread_mutex_lock(&flood_lock);
	if (flood->second != second) {
		flood->second = second;
		flood->written = 0;
	}
	admitted = flood->written < LOG_BURST;
	if (admitted) {
		flood->written++;
		*ret_suppressed = flood->suppressed;
		flood->suppressed = 0;
	} else {
		flood->suppressed++;
	}
	pthread_mutex_unlock(&flood_lock);
	return admitted;
}

/* A view of at most `max` bytes that does not end within a character. */
static struct str cut(struct str text, size_t max)
{
	if (text.len <= max)
		return text;
	while (max > 0 && ((unsigned char)text.ptr[max] & 0xc0) == 0x80)
		max--;
	return str_sub(text, 0, max);
}

/* Escapes as JSON does, which serves the text form as well: one line stays one line, whatever a stranger sent. Broken
 * UTF-8 is replaced. */
static void write_escaped(struct buf *line, struct str text)
{
	bool valid = utf8_valid(text);

	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		if (c == '"' || c == '\\')
			buf_char(line, '\\');
		if (c < 0x20 || c == 0x7f)
			buf_printf(line, "\\u%04x", c);
		else if (c >= 0x80 && !valid)
			BUF_LIT(line, "\xef\xbf\xbd");
		else
			buf_char(line, (char)c);
	}
}

static void write_quoted(struct buf *line, struct str text)
{
	buf_char(line, '"');
	write_escaped(line, cut(text, MAX_VALUE));
	buf_char(line, '"');
}

static bool is_plain(struct str text)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		if (c <= ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '=')
			return false;
	}
	return text.len > 0 && text.len <= MAX_VALUE;
}

/* Two thirds of a line's room are for what it says; fields that do not fit in what is left are left out whole. */
static void write_field(struct buf *line, const char *key, struct str text, int64_t number, bool is_text)
{
	bool json = out.format == LOG_JSON;

	if (line->len + 6 * MIN(text.len, (size_t)MAX_VALUE) + strlen(key) + 64 > LOG_MAX_LINE)
		return;
	buf_printf(line, json ? ",\"%s\":" : " %s=", key);
	if (!is_text)
		buf_int(line, number);
	else if (json || !is_plain(text))
		write_quoted(line, text);
	else
		buf_append(line, text);
}

static void write_context(struct buf *line, const char *key, const struct context_value *value)
{
	if (value->len)
		write_field(line, key, (struct str){ value->text, value->len }, 0, true);
}

static void write_time(struct buf *line)
{
	int64_t now = clock_wall_ms();
	time_t seconds = (time_t)(now / 1000);
	struct tm tm;

	gmtime_r(&seconds, &tm);
	buf_printf(line, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
		   tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(now % 1000));
}

static void write_head(struct buf *line, enum log_level level, struct str message)
{
	static const char *const names[] = { "debug", "info", "warning", "error" };
	static const char *const shown[] = { "DEBUG  ", "INFO   ", "WARNING", "ERROR  " };
	static const int priorities[] = { 7, 6, 4, 3 }; /* sd-daemon(3) */

	if (out.format == LOG_JSON) {
		BUF_LIT(line, "{\"time\":\"");
		write_time(line);
		buf_printf(line, "\",\"level\":\"%s\",\"message\":\"", names[level]);
		write_escaped(line, message);
		buf_char(line, '"');
		return;
	}
	if (out.journal) {
		buf_printf(line, "<%d>", priorities[level]);
	} else {
		write_time(line);
		buf_printf(line, " %s ", shown[level]);
	}
	write_escaped(line, message);
}

static void write_all(struct str line)
{
	while (line.len) {
		ssize_t written = write(out.fd, line.ptr, line.len);

		if (written < 0 && errno != EINTR)
			return; /* there is nobody left to tell */
		line = str_from(line, written > 0 ? (size_t)written : 0);
	}
}

void log_write(enum log_level level, const struct log_field *fields, size_t field_count, const char *fmt, ...)
{
	char message[MAX_MESSAGE];
	int saved_errno = errno;
	uint32_t suppressed;
	struct buf line;
	va_list args;

	if (!admit(level, fmt, &suppressed))
		return;
	va_start(args, fmt);
	vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	line = buf_init((size_t)2 * LOG_MAX_LINE);
	write_head(&line, level, cut(str_of(message), MAX_MESSAGE - 4));
	if (suppressed)
		write_field(&line, "suppressed", STR(""), suppressed, false);
	write_context(&line, "request_id", &context.request_id);
	write_context(&line, "user", &context.user);
	write_context(&line, "room", &context.room);
	for (size_t i = 0; i < field_count; i++)
		write_field(&line, fields[i].key, fields[i].text, fields[i].number, fields[i].is_text);
	if (out.format == LOG_JSON)
		buf_char(&line, '}');
	buf_char(&line, '\n');
	write_all(buf_str(&line));
	buf_done(&line);
	errno = saved_errno;
}
