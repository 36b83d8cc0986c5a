"""The faults that the real world has shown, what is decided for each, and the tests that show it.

``docs/reference/faults.md`` is made of this table; ``tests/test_catalogue.py`` holds that every test named here exists.
"""

from __future__ import annotations

from typing import NamedTuple


class Fault(NamedTuple):
    """One fault.

    :ivar number: its number.
    :ivar what: what goes wrong.
    :ivar gets: what the caller gets.
    :ivar shown: the tests that show it: ``file::test``, or the beginning of the ids of rows in ``tests/rows.py``.
    """

    number: int
    what: str
    gets: str
    shown: tuple[str, ...]


NEXT = "the next model"
WAITS = "the next model, after the wait"
ELSEWHERE = "targets at other endpoints, or `CallRejected`"
BEFORE = "`ValueError` or `TypeError`, before anything is sent"
BREAKS = "`StreamInterrupted` with the text so far; before content the next model"
ANSWER = "the answer"
OUT = "passes out unchanged; the connection is closed, the hooks are finished"

FAULTS = (
    Fault(
        1,
        "connection refused",
        WAITS,
        ("test_endpoints::test_endpoint_fault", "test_connections::test_a_recovered_server_is_found_again"),
    ),
    Fault(2, "no such host", WAITS, ("test_endpoints::test_endpoint_fault",)),
    Fault(3, "no connection within the limit", WAITS, ("test_endpoints::test_endpoint_fault",)),
    Fault(
        4,
        "TLS to a plain port; a certificate that is refused",
        ELSEWHERE,
        ("test_endpoints::test_endpoint_fault", "test_cli_mistakes::test_certificates"),
    ),
    Fault(5, "a TLS handshake that hangs", WAITS, ("test_endpoints::test_endpoint_fault",)),
    Fault(
        6,
        "a dead proxy, one that is no address, one that wants a login",
        ELSEWHERE,
        ("test_endpoints::test_dead_proxy", "22 407", "test_cli_hostile::test_a_proxy_that_is_none"),
    ),
    Fault(
        7,
        "closed before any byte, on a fresh connection",
        WAITS,
        ("24 closed without a byte", "test_connections::test_a_fresh_connection_is_not_sent_to_again"),
    ),
    Fault(
        8,
        "closed before any byte, on a kept connection",
        "the same model at once, as if nothing had been",
        ("test_connections::test_a_stale_connection_is_sent_to_again",),
    ),
    Fault(
        9,
        "reset on a kept connection while a large body is sent",
        "the same model at once, as if nothing had been",
        ("test_connections::test_a_stale_connection_that_breaks_in_a_large_body",),
    ),
    Fault(10, "a stale connection twice running", WAITS, ("test_connections::test_stale_twice_is_a_failure",)),
    Fault(11, "silence before the headers", WAITS, ("30 silence before the headers",)),
    Fault(
        12,
        "silence inside the headers; headers byte by byte",
        WAITS,
        ("30 silence inside the headers", "30 dripped headers"),
    ),
    Fault(13, "cut inside the headers", NEXT, ("29b cut inside the headers", "29 cut inside the headers of a stream")),
    Fault(
        14,
        "garbage for a status line; HTTP/2; status 99 or 999",
        NEXT,
        ("29b garbage", "29b HTTP/2", "29b status 99", "33b status 999"),
    ),
    Fault(
        15,
        "100, 102 or 103 before the reply; 101",
        "the reply behind it; 101: the next model",
        ("test_odd_replies::test_a_good_answer_is_one", "29c status 101"),
    ),
    Fault(16, "more than 100 headers; a header of 70 kB", NEXT, ("29b 101 headers", "29b a header of 70 kB")),
    Fault(17, "a body shorter than its length", WAITS, ("29 shorter than its length", "29 cut inside the body")),
    Fault(18, "a body that stalls, or is reset", WAITS, ("30 silence after the headers", "24 reset inside the body")),
    Fault(19, "a body byte by byte, for ever", WAITS, ("30 dripped body",)),
    Fault(
        20,
        "two unlike lengths; a length below nothing, or that is none",
        "two unlike: the next model; else the answer",
        ("29b two unlike lengths", "test_odd_replies::test_a_good_answer_is_one"),
    ),
    Fault(
        21,
        "chunk sizes that are none, negative or huge; a cut chunk; no last chunk",
        BREAKS,
        (
            "29 a chunk size that is none",
            "29b negative chunk",
            "29 a chunk of 16 exabytes",
            "29 cut inside a chunk",
            "29 no last chunk",
        ),
    ),
    Fault(
        22,
        "gzip that is none, or is cut; an unknown encoding",
        NEXT,
        ("29b bad gzip", "29b gzip that is cut", "29b binary that is no gzip", "29b an encoding that nobody knows"),
    ),
    Fault(
        23,
        "a gzip bomb; a body without end; an error of a gigabyte",
        "the next model; at most 64 MB, or 64 kB of an error, are read",
        ("test_bombs",),
    ),
    Fault(
        24,
        "redirects, to the same host, another one, in a circle, to a file, to no address",
        "the next model; nothing is followed",
        (
            "22b 302",
            "22b 307",
            "test_endpoints::test_redirects_are_not_followed",
            "test_endpoints::test_a_redirect_leads_nowhere",
        ),
    ),
    Fault(
        25,
        "400, 404, 405, 413, 415, 422",
        "`CallRejected`; the next model where it is that model's own refusal",
        ("18 400", "13 404", "13 405", "18 413", "18 415", "19 422", "14 404", "15 400", "17 "),
    ),
    Fault(26, "401, 402, 403 of the key", ELSEWHERE, ("1 401", "3 402", "8 403", "4 403")),
    Fault(
        27,
        "403 of a model's moderation",
        "the next model; a classifier may stop",
        ("6 403", "test_chain::test_strategies_by_argument"),
    ),
    Fault(
        28,
        "408, 409, 425, 429, 5xx",
        WAITS,
        ("20c 408", "20b 409", "20b 425", "12 429", "20b 500", "20 502", "20 503", "20c 504", "21 520", "20 529"),
    ),
    Fault(
        29,
        "`Retry-After` in any form",
        "a hint of 0 s to 24 h, or none; never an exception",
        ("test_hints::test_retry_after", "test_hints::test_any_header"),
    ),
    Fault(30, "`X-RateLimit-Reset` in ms, s, nonsense", "likewise", ("test_hints::test_rate_limit_reset",)),
    Fault(
        31,
        "502 with JSON, a page, nothing, binary, a megabyte",
        WAITS,
        ("20 502", "21 502 HTML", "20 502 empty body", "20 502 of binary", "20 502 of a megabyte"),
    ),
    Fault(32, "200 with an error inside", "as the error's own status", ("25 top", "25 bare")),
    Fault(
        33,
        "an error, or its code, of any type",
        "as an error; null is none",
        (
            "25 string",
            "25 string_code",
            "25 an error that is",
            "25 a code of",
            "test_odd_replies::test_a_good_answer_is_one",
        ),
    ),
    Fault(
        34,
        "200 with nothing, or white space",
        NEXT,
        ("29b empty body", "29b white space", "test_odd_replies::test_a_good_answer_is_one"),
    ),
    Fault(
        35,
        "200 with a page; JSON under other types, charsets, with a mark",
        "a page: the next model; JSON: the answer",
        ("29b HTML", "test_odd_replies::test_a_good_answer_is_one", "test_odd_replies::test_utf_16_is_json_too"),
    ),
    Fault(
        36,
        "`null`, `[]`, a word, `{}`; choices, messages and content of other types",
        NEXT,
        (
            "29b null",
            "29b a list",
            "29b a word",
            "29c no reply",
            "29c choices",
            "26 no choices",
            "26 a choice of null",
            "26 a message of null",
            "26 null text",
        ),
    ),
    Fault(
        37,
        "JSON too deep, with endless digits, NUL, NaN, half characters, names twice, text behind",
        "the next model, or the answer; never another exception",
        (
            "29b deep JSON",
            "29b a number of 5,000 digits",
            "29b a NUL",
            "29b text behind",
            "test_odd_replies::test_a_good_answer_is_one",
        ),
    ),
    Fault(
        38,
        "`finish_reason` error, content_filter, length, null",
        "error: the next model; the others are handed on",
        ("25 finish", "28b", "27 length", "test_stream::test_a_flagged_answer_is_an_answer"),
    ),
    Fault(
        39,
        "another model's name in the reply, or none",
        "the answer, with the name that the server gave",
        ("test_odd_replies::test_a_good_answer_is_one",),
    ),
    Fault(40, "stream: an error status with JSON", "as without a stream", ("20 503", "1 401")),
    Fault(
        41,
        "stream: JSON instead of a stream",
        "the answer, as one chunk",
        ("test_odd_replies::test_a_good_answer_is_one",),
    ),
    Fault(42, "stream: comments, then the end", WAITS, ("29 comments only",)),
    Fault(43, "stream: comments for ever", WAITS, ("30 signs of life for ever",)),
    Fault(44, "stream: an error first of all", "as the error's own status", ("25 top", "25 error event")),
    Fault(
        45,
        "stream: an error after content",
        "`StreamInterrupted` with the text so far",
        ("test_stream::test_a_broken_answer_is_interrupted",),
    ),
    Fault(
        46,
        "stream: cut before content, after it, inside JSON, inside a character",
        BREAKS,
        ("29 role, then the end", "test_stream::test_a_broken_answer_is_interrupted"),
    ),
    Fault(
        47,
        "stream: a clean end without [DONE]",
        "with a `finish_reason` the answer, else as cut",
        (
            "test_odd_replies::test_a_good_stream_is_one",
            "29 empty stream",
            "test_stream::test_a_whole_answer_ends_the_stream",
        ),
    ),
    Fault(
        48,
        "stream: [DONE] without blank line, with blanks, twice, with more behind, first of all",
        "the answer; first of all: the next model",
        ("test_odd_replies::test_a_good_stream_is_one", "26 [DONE] first of all"),
    ),
    Fault(49, "stream: bad UTF-8, marks, line ends of all kinds, cut anywhere", ANSWER, ("test_sse_conformance",)),
    Fault(
        50,
        "stream: events that are no JSON, or nothing, or of other types",
        "passed over, or as malformed",
        ("test_odd_replies::test_a_good_stream_is_one", "29b an event that is no JSON"),
    ),
    Fault(
        51,
        "stream: chunks without choices, delta or text",
        "passed over",
        ("test_odd_replies::test_a_good_stream_is_one",),
    ),
    Fault(
        52,
        "stream: no framing, gzip, single bytes, events of 4 MB, lines without end",
        "prompt; too large: as malformed",
        ("test_stream::test_each_event_is_handed_out_when_it_is_sent", "test_sse_conformance"),
    ),
    Fault(
        53,
        "stream: left, dropped, raised in, never read, read twice, read after close",
        "the connection is closed; a clear error",
        (
            "test_stream::test_leaving_early_closes_the_connection",
            "test_stream::test_dropping_a_stream_closes_the_connection",
            "test_stream::test_an_exception_in_the_loop_closes_the_connection",
            "test_stream::test_a_stream_is_iterated_once",
        ),
    ),
    Fault(
        54,
        "stream: closed by another thread",
        "`StreamConsumedError` for the one that reads",
        ("test_stream::test_another_thread_closes_a_stream_that_waits", "test_stream::test_many_close_and_one_reads"),
    ),
    Fault(
        55,
        "stream: a stall between events",
        BREAKS,
        ("test_stream::test_a_broken_answer_is_interrupted", "30 silence before the content"),
    ),
    Fault(
        56,
        "Ctrl-C, SystemExit, gevent's and Celery's time limits, anywhere",
        OUT,
        ("test_interruptions", "test_engine_exits::test_while_it_waits"),
    ),
    Fault(
        57,
        "a hook that is slow, raises, calls the chain, registers plugins, forks",
        "an observer: nothing; a deciding one: its exception",
        (
            "test_plugins_calls::test_an_observer_that_raises_changes_nothing",
            "test_plugins_calls::test_a_plugin_may_call_the_chain_again",
            "test_plugins_calls::test_what_is_registered_during_a_call_counts_from_the_next",
            "test_plugins_misbehaving::test_a_slow_observer",
            "test_plugins_misbehaving::test_a_plugin_that_forks",
        ),
    ),
    Fault(
        58,
        "a strategy that answers nonsense",
        "`TypeError` or `ValueError`; waits are clamped, attempts bounded",
        ("test_engine_nonsense", "test_engine_time::test_every_script_ends_within_its_bounds"),
    ),
    Fault(59, "a key of nothing, with line ends, quotes, NUL, of another type", BEFORE, ("test_secret::test_refused",)),
    Fault(60, "a base URL that is none", BEFORE, ("test_config::test_refused_base_url",)),
    Fault(
        61,
        "no models; twice the same, a thousand, from a generator, changed afterwards",
        "`TypeError` or `ValueError` before anything is sent; each is asked once, as it was",
        (
            "test_config::test_refused_models",
            "test_config::test_models",
            "test_config::test_targets_are_copied",
            "test_config::test_the_callers_list_is_copied",
        ),
    ),
    Fault(
        62,
        "messages that are no JSON, or are changed during the call",
        BEFORE,
        ("test_payload::test_refused_messages", "test_payload::test_the_callers_later_changes_have_no_effect"),
    ),
    Fault(
        63,
        "limits of 0, below, NaN, of another type, past already",
        BEFORE,
        (
            "test_chain::test_mistakes_are_told_at_construction",
            "test_engine_time::test_a_deadline_that_is_past_asks_nobody",
        ),
    ),
    Fault(64, "the wall clock jumps", "nothing changes", ("test_catalogue::test_the_wall_clock_changes_nothing",)),
    Fault(65, "64 threads share a chain", ANSWER, ("test_threads",)),
    Fault(
        66,
        "a fork before, between and in the middle of calls, with locks held",
        "each process its own answers",
        ("test_processes", "test_stream::test_a_lock_held_at_the_fork_holds_up_no_child"),
    ),
    Fault(67, "gevent, patched early and late", ANSWER, ("test_gevent",)),
    Fault(
        68,
        "a session of the application's, `responses`",
        "it is respected, and never closed",
        ("test_sessions", "test_chain::test_under_responses"),
    ),
    Fault(
        69,
        ".netrc, proxies, files of certificates of the environment",
        "the key is not replaced; a missing file is `misconfigured`",
        ("test_endpoints::test_netrc_does_not_replace_the_key", "test_endpoints::test_missing_ca_bundle"),
    ),
    Fault(70, "cookies of an upstream", "they are not kept", ("test_connections::test_cookies_are_not_kept",)),
    Fault(
        71,
        "text that forges log lines, or steers a terminal",
        "one clean line",
        (
            "test_text",
            "test_logging::test_what_an_upstream_says_stays_on_one_clean_line",
            "test_cli_hostile::test_names_from_servers_steer_no_terminal",
        ),
    ),
    Fault(
        72,
        "`%` and braces in such text; handlers that raise; stdout closed; terminals without UTF-8",
        "no crash",
        (
            "test_logging::test_a_handler_that_raises_breaks_no_call",
            "test_logging::test_what_an_upstream_says_stays_on_one_clean_line",
            "test_cli_hostile::test_a_closed_stdout_is_told",
            "test_cli::test_a_terminal_without_utf_8",
        ),
    ),
    Fault(
        73,
        "errors and answers pickled; a chain pickled",
        "they come back; a chain refuses",
        ("test_faults::test_every_error_pickles", "test_errors::test_round_trip", "test_secret::test_no_pickle"),
    ),
    Fault(
        74,
        "a plugin passes over every model",
        "the call ends with an error that lists no attempt",
        (
            "test_engine_time::test_a_call_that_nobody_admits_ends_without_an_attempt",
            "test_engine_time::test_resting_targets_are_asked_last",
        ),
    ),
    Fault(75, "10,000 faults in a row", "no file, thread or memory is left", ("test_leaks",)),
    Fault(
        76,
        "the interpreter ends with a stream open, or a thread in a call",
        "silence, and no hang",
        ("test_processes",),
    ),
    Fault(77, "warnings taken for errors", "there are none", ("test_catalogue::test_warnings_are_errors",)),
    Fault(
        78,
        "no file descriptors left",
        "a typed error; it works again when there are some",
        ("test_kept_connections::test_too_few_descriptors",),
    ),
    Fault(
        79,
        "a reply before the body was sent",
        "the reply, where it can be read",
        ("test_kept_connections::test_an_early_413_is_read",),
    ),
    Fault(
        80,
        "junk left on a kept connection",
        "it is never taken for a reply",
        ("test_kept_connections::test_junk_behind_a_reply_costs_the_connection",),
    ),
)
