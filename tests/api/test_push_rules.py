"""Push rules: the defaults, one's own, their order, switching them on and off."""

import pytest

from support.client import account_data_of, refused

OVERRIDES = [
    ".m.rule.master",
    ".m.rule.suppress_notices",
    ".m.rule.invite_for_me",
    ".m.rule.member_event",
    ".m.rule.is_user_mention",
    ".m.rule.is_room_mention",
    ".m.rule.tombstone",
    ".m.rule.reaction",
    ".m.rule.room.server_acl",
    ".m.rule.suppress_edits",
]
UNDERRIDES = [
    ".m.rule.call",
    ".m.rule.encrypted_room_one_to_one",
    ".m.rule.room_one_to_one",
    ".m.rule.message",
    ".m.rule.encrypted",
]


def rules(user):
    return user.get("/pushrules/")["global"]


def rule_ids(user, kind):
    return [rule["rule_id"] for rule in rules(user)[kind]]


def put(user, kind, rule_id, actions=("notify",), query=None, **body):
    return user.put("/pushrules/global/{}/{}", kind, rule_id, body={"actions": list(actions), **body}, query=query)


def test_the_default_rules_are_there_in_their_order(ana):
    for kind, expected in (("override", OVERRIDES), ("underride", UNDERRIDES)):
        assert [rule_id for rule_id in rule_ids(ana, kind) if rule_id in expected] == expected
    assert set(rules(ana)) >= {"override", "content", "room", "sender", "underride"}


def test_a_default_rule_says_what_the_specification_says(ana):
    by_id = {rule["rule_id"]: rule for kind in rules(ana).values() for rule in kind}
    assert by_id[".m.rule.master"] == {"rule_id": ".m.rule.master", "default": True, "enabled": False, "conditions": [], "actions": []}
    mention = by_id[".m.rule.is_user_mention"]
    assert mention["conditions"] == [
        {"kind": "event_property_contains", "key": "content.m\\.mentions.user_ids", "value": ana.user_id}
    ]
    assert mention["default"] is True and mention["enabled"] is True
    assert "notify" in mention["actions"] and any(
        action.get("set_tweak") == "highlight" and action.get("value", True) is True for action in mention["actions"] if isinstance(action, dict)
    )
    assert by_id[".m.rule.suppress_edits"]["actions"] == []
    assert [action for action in by_id[".m.rule.message"]["actions"] if action != {"set_tweak": "highlight", "value": False}] == ["notify"]


@pytest.mark.parametrize("path", ["/pushrules/", "/pushrules/global/"])
def test_all_rules_can_be_read(ana, path):
    answer = ana.get(path)
    assert (answer["global"] if path == "/pushrules/" else answer)["override"]


def test_one_rule_can_be_read(ana):
    assert ana.get("/pushrules/global/underride/.m.rule.message")["rule_id"] == ".m.rule.message"
    with refused(404, "M_NOT_FOUND"):
        ana.get("/pushrules/global/underride/unknown")


RULES = [
    ("override", "mine", {"conditions": [{"kind": "event_match", "key": "content.body", "pattern": "beer"}]}),
    ("underride", "mine", {"conditions": []}),
    ("content", "mine", {"pattern": "cake*lie"}),
    ("room", "!somewhere:hearth.test", {}),
    ("sender", "@somebody:hearth.test", {}),
]


@pytest.mark.parametrize("kind, rule_id, body", RULES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_rule_is_made_changed_and_taken_away(ana, kind, rule_id, body):
    actions = ["notify", {"set_tweak": "sound", "value": "default"}]
    assert put(ana, kind, rule_id, actions, **body) == {}
    rule = ana.get("/pushrules/global/{}/{}", kind, rule_id)
    assert (rule["rule_id"], rule["actions"], rule["enabled"], rule["default"]) == (rule_id, actions, True, False)
    for key, value in body.items():
        assert rule[key] == value
    put(ana, kind, rule_id, [], **body)
    assert ana.get("/pushrules/global/{}/{}", kind, rule_id)["actions"] == []
    assert rule_ids(ana, kind).count(rule_id) == 1
    assert ana.call("DELETE", "/pushrules/global/{}/{}", kind, rule_id) == {}
    with refused(404, "M_NOT_FOUND"):
        ana.get("/pushrules/global/{}/{}", kind, rule_id)
    with refused(404, "M_NOT_FOUND"):
        ana.call("DELETE", "/pushrules/global/{}/{}", kind, rule_id)


def test_historical_actions_are_kept_as_the_client_wrote_them(ana):
    """They do nothing ("Historical Actions"), but older clients look for them to tell which rooms they muted."""
    for actions in (["dont_notify"], ["coalesce", "notify"]):
        put(ana, "sender", ana.user_id, actions)
        assert ana.get("/pushrules/global/sender/{}", ana.user_id)["actions"] == actions
        assert ana.get("/pushrules/global/sender/{}/actions", ana.user_id)["actions"] == actions


def test_a_new_rule_goes_first(ana):
    put(ana, "content", "one", pattern="x")
    put(ana, "content", "two", pattern="x")
    own = [rule_id for rule_id in rule_ids(ana, "content") if not rule_id.startswith(".")]
    assert own == ["two", "one"]


def test_the_place_of_a_rule_can_be_chosen(ana):
    put(ana, "content", "middle", pattern="x")
    put(ana, "content", "before", pattern="x", query={"before": "middle"})
    put(ana, "content", "after", pattern="x", query={"after": "middle"})
    own = [rule_id for rule_id in rule_ids(ana, "content") if not rule_id.startswith(".")]
    assert own == ["before", "middle", "after"]
    with refused(400, "M_UNKNOWN"):
        put(ana, "content", "lost", pattern="x", query={"before": "unknown"})
    with refused(400, ("M_UNKNOWN", "M_INVALID_PARAM")):
        put(ana, "override", "lost", conditions=[], query={"before": ".m.rule.message"})


def test_own_overrides_come_after_the_master_rule_and_before_the_others(ana):
    put(ana, "override", "mine", conditions=[])
    order = rule_ids(ana, "override")
    assert order.index(".m.rule.master") < order.index("mine") < order.index(".m.rule.suppress_notices")


@pytest.mark.parametrize("rule_id", [".starts.with.a.dot", "with/slash", "with\\backslash"])
def test_an_impossible_rule_id_is_refused(ana, rule_id):
    with refused(400, ("M_INVALID_PARAM", "M_UNKNOWN", "M_UNRECOGNIZED")):
        put(ana, "override", rule_id, conditions=[])


@pytest.mark.parametrize(
    "kind, body",
    [
        ("override", {"conditions": []}),  # no actions
        ("override", {"actions": "notify", "conditions": []}),
        ("override", {"actions": ["nonsense"], "conditions": []}),
        ("override", {"actions": [1], "conditions": []}),
        ("override", {"actions": [{}], "conditions": []}),
        ("override", {"actions": [], "conditions": [{}]}),
        ("content", {"actions": []}),  # no pattern
        ("content", {"actions": [], "pattern": 1}),
    ],
    ids=str,
)
@pytest.mark.synapse_differs("answers M_UNKNOWN, or 500", sometimes=True)
def test_a_malformed_rule_is_refused(ana, kind, body):
    with refused(400, ("M_MISSING_PARAM", "M_INVALID_PARAM", "M_BAD_JSON")):
        ana.put("/pushrules/global/{}/mine", kind, body=body)
    assert "mine" not in rule_ids(ana, kind)


def test_an_unknown_kind_is_refused(ana):
    with refused((400, 404), ("M_INVALID_PARAM", "M_UNRECOGNIZED", "M_NOT_FOUND", "M_UNKNOWN")):
        put(ana, "nonsense", "mine")


def test_of_an_unknown_kind_there_is_no_rule(ana):
    with refused(404, "M_NOT_FOUND"):
        ana.get("/pushrules/global/postcontent/.m.rule.message")


def test_default_rules_are_switched_but_not_deleted(ana):
    path = ("/pushrules/global/underride/{}", ".m.rule.message")
    assert ana.get(path[0] + "/enabled", path[1]) == {"enabled": True}
    assert ana.put(path[0] + "/enabled", path[1], body={"enabled": False}) == {}
    assert ana.get(path[0] + "/enabled", path[1]) == {"enabled": False}
    assert ana.get(*path)["enabled"] is False
    with refused((400, 404), ("M_NOT_FOUND", "M_INVALID_PARAM", "M_UNKNOWN")):
        ana.call("DELETE", *path)


def test_the_actions_of_a_default_rule_can_be_changed(ana):
    path = ("/pushrules/global/underride/{}/actions", ".m.rule.message")
    assert "notify" in ana.get(*path)["actions"]
    assert ana.put(*path, body={"actions": []}) == {}
    assert ana.get(*path) == {"actions": []}
    assert ana.get("/pushrules/global/underride/.m.rule.message")["actions"] == []


@pytest.mark.parametrize("part, body", [("enabled", {"enabled": True}), ("actions", {"actions": []})])
@pytest.mark.parametrize("rule_id", ["unknown", ".m.rule.unknown"])
def test_parts_of_unknown_rules_are_not_found(ana, part, body, rule_id):
    with refused(404, "M_NOT_FOUND"):
        ana.put("/pushrules/global/override/{}/{}", rule_id, part, body=body)
    with refused(404, "M_NOT_FOUND"):
        ana.get("/pushrules/global/override/{}/{}", rule_id, part)


def test_a_changed_rule_shows_in_the_next_sync_with_all_the_others(ana):
    phone = ana.login()
    since = phone.now()
    put(ana, "content", "mine", pattern="cake")
    answer = phone.sync_until(lambda answer: account_data_of(answer, "m.push_rules"), since)
    assert account_data_of(answer, "m.push_rules")["global"] == rules(ana)
    assert account_data_of(phone.sync(answer["next_batch"]), "m.push_rules") is None


def test_rules_of_one_user_are_not_those_of_another(ana, bob):
    put(ana, "content", "mine", pattern="cake")
    assert "mine" not in rule_ids(bob, "content")
