/* Any bytes read as a configuration: no fault points outside of the text, and a value that was accepted is one that its
 * type allows. */
#include "config/config.h"

struct fuzzed {
	struct str text, path, json;
	bool truth;
	int64_t number, duration, size, mode;
	int choice;
	struct config_rate rate;
	struct config_strings strings;
	CONFIG_ARRAY_OF(struct item {
		struct str key;
		int64_t number;
	})
	list, map;
};

static const char *const choices[] = { "true", "false", "untracked", NULL };

static const struct config_option item_options[] = {
	{ "n", CONFIG_AT(INT, struct item, number), .max = 9, .flags = CONFIG_REQUIRED, .doc = "n" },
	{ 0 },
};

static const struct config_option options[] = {
	{ "text", CONFIG_AT(STRING, struct fuzzed, text), .doc = "text" },
	{ "path", CONFIG_AT(PATH, struct fuzzed, path), .fallback = "path", .doc = "path" },
	{ "json", CONFIG_AT(JSON, struct fuzzed, json), .doc = "json" },
	{ "g.truth", CONFIG_AT(BOOL, struct fuzzed, truth), .doc = "truth" },
	{ "g.number", CONFIG_AT(INT, struct fuzzed, number), .min = -5, .max = 5, .doc = "number" },
	{ "g.h.duration", CONFIG_AT(DURATION, struct fuzzed, duration), .doc = "duration" },
	{ "size", CONFIG_AT(SIZE, struct fuzzed, size), .doc = "size" },
	{ "mode", CONFIG_AT(MODE, struct fuzzed, mode), .doc = "mode" },
	{ "choice", CONFIG_AT(ENUM, struct fuzzed, choice), .choices = choices, .doc = "choice" },
	{ "rate", CONFIG_AT(RATE, struct fuzzed, rate), .doc = "rate" },
	{ "strings", CONFIG_AT(STRINGS, struct fuzzed, strings), .doc = "strings" },
	{ "list", CONFIG_EACH(LIST, struct fuzzed, list, item_options), .doc = "list" },
	{ "map", CONFIG_EACH(MAP, struct fuzzed, map, item_options), .doc = "map" },
	{ "unused_*", CONFIG_UNUSED, .doc = "unused" },
	{ 0 },
};

static void require(bool condition)
{
	if (!condition)
		abort();
}

static void check_values(const struct fuzzed *values)
{
	require(values->number >= -5 && values->number <= 5);
	require(values->duration >= 0 && values->size >= 0 && values->mode >= 0 && values->mode <= 0777);
	require(values->choice >= 0 && values->choice < 3);
	require(values->rate.per_second >= 0 && values->rate.burst_count >= 0);
	require(str_starts_with(values->path, STR("/")) || !values->path.len);
	require(!values->text.len || !memchr(values->text.ptr, 0, values->text.len));
	for (size_t i = 0; i < values->list.count; i++)
		require(values->list.items[i].number >= 0 && values->list.items[i].number <= 9);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct config *config = config_new(arena);
	const struct config_fault *faults;
	struct fuzzed values = { 0 };
	size_t count, lines = 2;

	for (size_t i = 0; i < size;
	     i++) /* libyaml counts NEL, LS and PS as line breaks too, which no text has more of than bytes */
		lines += data[i] == '\n' || data[i] == '\r' || data[i] >= 0x80;
	config_add_text(config, STR("/fuzz.yaml"), (struct str){ (const char *)data, size });
	if (config_read(config, options, &values))
		check_values(&values);
	faults = config_faults(config, &count);
	for (size_t i = 0; i < count; i++)
		require(faults[i].line <= lines);
	return 0;
}
