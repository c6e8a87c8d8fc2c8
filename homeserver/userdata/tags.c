/* A room's tags: {"tags": {name: {"order": …}}}, kept as the account data m.tag (client-server-api modules/tags.md). */
#include "matrix/slice.h"
#include "userdata/userdata.h"

struct str tags_with(struct str content, struct str tag, struct str value, struct arena *arena)
{
	CLEANUP(buf_done) struct buf out = buf_init(content.len + 6 * tag.len + value.len + 64);
	struct str tags = STR(""), key, member, name;
	struct slice_iter iter;
	bool first = true;

	if (content.len && slice_get(content, STR("tags"), &tags) && slice_type(tags) != SLICE_OBJECT)
		tags = STR("");
	BUF_LIT(&out, "{\"tags\":{");
	iter = slice_iter(tags.len ? tags : STR("{}"));
	while (slice_member(&iter, &key, &member)) {
		if (!slice_string(key, arena, &name) || str_eq(name, tag))
			continue;
		if (!first)
			buf_char(&out, ',');
		first = false;
		buf_append(&out, key);
		buf_char(&out, ':');
		buf_append(&out, member);
	}
	if (value.len) {
		if (!first)
			buf_char(&out, ',');
		slice_write_string(&out, tag);
		buf_char(&out, ':');
		buf_append(&out, value);
	}
	BUF_LIT(&out, "}}");
	assert(buf_ok(&out));
	return str_dup(arena, buf_str(&out));
}
