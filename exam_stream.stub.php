<?php

/** @generate-class-entries */

namespace {
    /**
     * Accepts one record for a delivery stream: durable against the death of the process when it returns true.
     *
     * Costs one write to the spool and never waits for the network.
     *
     * @param string $stream name of the delivery stream; '' is the one of exam_stream.stream
     * @param array|string $record one JSON value, at most 256 KiB; an array is encoded as
     *     json_encode($record, JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE | JSON_PRESERVE_ZERO_FRACTION)
     * @return bool true: accepted. false: the spool takes nothing now (limit reached, disk full, spool not
     *     usable; exam_stream_stats() says which), and nothing of the record was written
     * @throws TypeError when the record is neither a string nor an array
     * @throws ValueError when it is not one JSON value, empty or too long, or the name is not one of a stream
     */
    function exam_stream_put(string $stream, array|string $record): bool {}

    /**
     * Accepts as many of the records as fit, in order, in one write.
     *
     * @param array<array|string> $records
     * @return int how many were accepted: the first ones of the list
     * @throws TypeError
     * @throws ValueError when one of them cannot be accepted, naming its index; then none was written
     */
    function exam_stream_put_many(string $stream, array $records): int {}

    /**
     * Waits until everything this spool had accepted before the call is delivered (or quarantined).
     *
     * @param float $timeout seconds
     * @return bool false: not within the time
     */
    function exam_stream_flush(float $timeout = 5.0): bool {}

    /**
     * The folded state of an attempt.
     *
     * A call for help is known by the id of the record that asked, its steps are asked, taken, answered and closed;
     * a signal by <name> or <name>/<slot>.
     *
     * @return array{site: string, attempt: int, quiz: ?int, usage: ?int, student_id: ?int, preview: bool, word: string,
     *     lifecycle: ?array{type: string, ts: float}, last_seen: ?float, counts: array<string, int>,
     *     devices: list<array{device: string, address: string, agent: string, first: float, last: float}>,
     *     devices_at_once: bool, addresses: int, agents: int,
     *     help: array<string, array<string, array{ts: float, by: ?int, slot: ?int, text: ?string}>>,
     *     signals: array<string, array{at: float, revision: int, row: array<string, mixed>}>,
     *     slots: array<int, array{qa: int, status: int, at: float, ts: float, page: string, seq: int, id: string,
     *     saved: bool, flagged: bool, changed: bool, fields: array<string, string>}>}|null null: there is none, or it was erased
     * @throws ExamStream\StateException when the store cannot be asked within exam_stream.state_timeout_ms
     */
    function exam_stream_state(string $site, int $attempt): ?array {}

    /**
     * What changed on a quiz's live board since a version: a row for each attempt, never with an answer's content.
     *
     * At most 5,000 rows, and fewer where exam_stream.state_timeout_ms runs short; `more` says that there are more:
     * call again with the version given. `reset`: the store has lost its memory since, so what was known is to
     * be forgotten; the rows are those of a first call. `word` begins with an s, `flags` has a digit for each slot,
     * both as long as `slots` says. `times` is when each slot was last answered. Calls for help and signals are as in
     * exam_stream_state(); `signals` beside the rows are those about the whole quiz, all of them every time. `erased` are
     * attempts whose rows are to be forgotten; a first call names none.
     *
     * @param int $since 0: everything
     * @return array{version: int, more: bool, reset: bool,
     *     signals: array<string, array{at: float, revision: int, row: array<string, mixed>}>,
     *     rows: array<int, array{attempt: int, student_id: ?int, usage: ?int, preview: bool, word: string, flags: string,
     *     answered: int, slots: int, lifecycle: ?array{type: string, ts: float}, last_seen: ?float,
     *     counts: array<string, int>,
     *     help: array<string, array<string, array{ts: float, by: ?int, slot: ?int, text: ?string}>>,
     *     signals: array<string, array{at: float, revision: int, row: array<string, mixed>}>,
     *     devices_at_once: bool, addresses: int, agents: int, times: array<int, float>}>, erased: list<int>}
     * @throws ExamStream\StateException when the store cannot be asked within exam_stream.state_timeout_ms
     */
    function exam_stream_board(string $site, int $quiz, int $since = 0): array {}

    /** What the spool of this process holds, has done and has failed to do. */
    function exam_stream_stats(): array {}

    /**
     * What a browser's request may write: the lines of its records, made by the one validator of both doors of the
     * Moodle plugin. Accepts nothing yet, and asks nobody.
     *
     * The request is {"token": string, "sent": seconds, "help": string, "records": [...]}. Its token says what may be
     * written and as whom: "<key id>.<grant>.<signature>", the grant a JSON list [site, attempt, user, quiz, usage, page,
     * expires, preview, {slot: qa}, switches] in Base64 for URLs, signed with the key id before it by HMAC-SHA256.
     *
     * @param string $request
     * @param array{site: string, keys: array<string>, limits: array{maxbody: int, maxrecord: int, maxfields: int},
     *     switches: int, client: array{key: string, skip: int, proxies: string}} $door what the site says of its doors
     * @param float $now when the request was received, in seconds since 1970
     * @param array<string> $server the request's variables, as in $_SERVER
     * @param ?string $token in place of the one in the request
     * @return array{int, array} the HTTP status, 200 or that of a refusal, and what is to be accepted
     *     (array{attempt: int, now: float, lines: list<string>, help?: array{grant: array<string, mixed>, known: ?string,
     *     calls: list<array{index: int, id: string, call: ?string}>}}) or replied
     *     (array{error: string, index?: int, message?: string})
     * @throws ValueError when something is missing in $door, or $now is no time
     */
    function exam_stream_admit(string $request, array $door, float $now, array $server, ?string $token = null): array {}

    /**
     * Lets exam_stream_try_door() reply by a door in this process, for requests that it serves within the next seconds.
     *
     * Each file of PHP code has doors of its own: a request is answered by what the code of the same file has shown,
     * whatever else the process runs.
     *
     * @param array<string, mixed> $door as for exam_stream_admit(), and {written: int}: when the file that says it was
     *     written, in seconds since 1970
     * @param string $directory where the file is, door.php, and where a file closed/<attempt % 256>/<attempt> says that an
     *     attempt takes nothing more
     * @param float $seconds from 0 to 60
     * @return bool false: not kept, because there is no room; 64 doors are
     * @throws ValueError when something is missing in $door, or $seconds is out of bounds
     */
    function exam_stream_keep_door(array $door, string $directory, float $seconds): bool {}

    /**
     * Replies to a browser's request by the doors that code of the same file has shown in this process a moment ago: what
     * exam_stream_admit() admits is accepted for the stream of exam_stream.stream.
     *
     * Leaves to PHP code whatever is not as usual: no door that the token opens, one that has been written anew since, a
     * closed attempt, a request that is refused or not posted.
     *
     * @return array{int, string}|array{null, array}|null the HTTP status, 200 or 503 where the spool takes no more now, and
     *     the body as JSON; where the help desk is asked, null and what is admitted, of which nothing is accepted yet; null:
     *     PHP code is to reply
     */
    function exam_stream_try_door(string $request): ?array {}
}

namespace ExamStream {
    /** The state store cannot be asked. */
    class StateException extends \RuntimeException {}
}
