<?php
// This file is part of Moodle - https://moodle.org/
//
// Moodle is free software: you can redistribute it and/or modify
// it under the terms of the GNU General Public License as published by
// the Free Software Foundation, either version 3 of the License, or
// (at your option) any later version.
//
// Moodle is distributed in the hope that it will be useful,
// but WITHOUT ANY WARRANTY; without even the implied warranty of
// MERCHANTABILITY or FITNESS FOR A PARTICULAR PURPOSE.  See the
// GNU General Public License for more details.
//
// You should have received a copy of the GNU General Public License
// along with Moodle.  If not, see <https://www.gnu.org/licenses/>.

namespace local_examstream;

use local_examstream\local\attempts;
use local_examstream\local\capture;
use local_examstream\local\closed;
use local_examstream\local\door;
use local_examstream\local\grant;
use local_examstream\local\keys;
use local_examstream\local\page;
use local_examstream\local\site;
use local_examstream\local\token;

defined('MOODLE_INTERNAL') || die();

require_once(__DIR__ . '/fixtures/stream_testcase.php');

/**
 * What the door takes and what it refuses.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 * @covers \local_examstream\local\door
 * @covers \local_examstream\local\token
 * @covers \local_examstream\local\keys
 */
final class door_test extends stream_testcase {
    /** @var string the page's token. */
    private string $token;

    /** @var int question_attempts.id in slot 1. */
    private int $qa;

    /**
     * A student's page with a token.
     */
    private function open_page(): void {
        $this->start([['shortanswer', 'frogtoad'], ['truefalse', 'true']]);
        $this->stream->records = [];
        capture::viewed($this->attempt);
        $config = capture::config(0);
        $this->token = $config['token'];
        $this->page = $config['page'] . '.0123abcd';
        $this->qa = ((array) $config['slots'])[1]['qa'];
    }

    /**
     * An answer of the page.
     *
     * @param array $more what differs.
     * @return array
     */
    private function record(array $more = []): array {
        return $more + [
            'type' => 'answer', 'page' => $this->page, 'seq' => ++$this->seq, 'at' => site::now(), 'slot' => 1,
            'qa' => $this->qa, 'status' => 1, 'fields' => ['answer' => 'frög</script>', ':sequencecheck' => '1'],
        ];
    }

    /**
     * Knocks.
     *
     * @param array $records
     * @param array $more what differs in the request.
     * @return array [HTTP status, body]
     */
    private function knock(array $records, array $more = []): array {
        global $CFG;
        $body = json_encode($more + ['token' => $this->token, 'sent' => 12.5, 'records' => $records]);
        return door::reply($CFG->dataroot, $body, site::now(), $this->stream);
    }

    /**
     * Refused, and nothing of it is in the stream.
     *
     * @param int $status
     * @param string $error
     * @param array $reply
     */
    private function assert_refused(int $status, string $error, array $reply): void {
        $this->assertSame($status, $reply[0], json_encode($reply));
        $this->assertSame($error, $reply[1]['error']);
        $this->assertSame([], $this->stream->records);
    }

    /**
     * An answer goes into the stream with the envelope of its token.
     */
    public function test_answer_is_accepted(): void {
        $this->open_page();
        $before = site::now();
        [$status, $reply] = $this->knock([$this->record(['at' => $before - 0.25, 'site' => 'x', 'student_id' => 1, 'v' => 9])]);
        $this->assertSame(200, $status);
        $this->assertSame(1, $reply['saved']);
        $this->assertEqualsWithDelta($before, $reply['now'], 5);
        [$record] = $this->stream->records;
        $this->assertEqualsWithDelta($before, $record['ts'], 5);
        $this->assertSame(12.5, $record['sent']);
        unset($record['ts'], $record['at'], $record['sent']);
        $this->assertSame([
            'v' => 1, 'id' => "{$this->attempt->id}-{$this->page}-1", 'type' => 'answer', 'site' => site::id(),
            'quiz' => (int) $this->quiz->id, 'attempt' => (int) $this->attempt->id, 'usage' => (int) $this->attempt->uniqueid,
            'student_id' => (int) $this->student->id, 'page' => $this->page, 'seq' => 1,
            'slot' => 1, 'qa' => $this->qa, 'status' => 1,
            'fields' => ['answer' => 'frög</script>', ':sequencecheck' => '1'],
        ], $record);
    }

    /**
     * An edit lies between the making of its page and its receipt, whatever the browser's clock says.
     */
    public function test_time_of_the_edit_is_kept_within_bounds(): void {
        $this->open_page();
        $minted = page::minted($this->page);
        $this->knock([$this->record(['at' => 1.0]), $this->record(['at' => $minted + 1e6])]);
        [$early, $late] = $this->stream->records;
        $this->assertEqualsWithDelta($minted, $early['at'], 1e-5);
        $this->assertSame($late['ts'], $late['at']);
    }

    /**
     * Records that an earlier page of the attempt has left behind are taken.
     */
    public function test_outbox_of_an_earlier_page_is_accepted(): void {
        $this->open_page();
        $earlier = page::mint(site::now() - 600) . '.feedf00d';
        $this->assertSame(200, $this->knock([$this->record(['page' => $earlier, 'seq' => 4])])[0]);
    }

    /**
     * A sign of life needs no totals.
     */
    public function test_signs_of_life_are_accepted(): void {
        $this->open_page();
        $this->assertSame(200, $this->knock([$this->record(['type' => 'alive'])])[0]);
        $this->assertSame('alive', $this->stream->records[0]['type']);
        $this->assertArrayNotHasKey('fields', $this->stream->records[0]);
    }

    /**
     * A request sent again gives the same ids, so that the fold applies it once.
     */
    public function test_resent_record_keeps_its_id(): void {
        $this->open_page();
        $record = $this->record();
        $this->knock([$record]);
        $this->knock([$record]);
        $this->assertCount(1, array_unique(array_column($this->stream->records, 'id')));
    }

    /**
     * A full spool takes what fits, in order, and says how much that was.
     */
    public function test_full_spool_keeps_the_rest_with_the_browser(): void {
        $this->open_page();
        $this->stream->room = 2;
        $reply = $this->knock([$this->record(), $this->record(), $this->record()]);
        $this->assertSame([503, ['error' => 'full', 'saved' => 2]], $reply);
        $this->assertSame([1, 2], array_column($this->stream->records, 'seq'));
    }

    /**
     * Only a token of ours, whole and young, opens the door.
     */
    public function test_token_forged_or_damaged_is_refused(): void {
        $this->open_page();
        [$keyid, $payload, $signature] = explode('.', $this->token);
        $other = json_decode(base64_decode(strtr($payload, '-_', '+/')), true);
        $other[1]++;
        $forged = rtrim(strtr(base64_encode(json_encode($other)), '+/', '-_'), '=');
        $tokens = [
            null, 5, [], '', '..', 'a.b.c', $keyid . '.' . $payload . '.', $keyid . '.' . $forged . '.' . $signature,
            '99.' . $payload . '.' . $signature, $this->token . 'A', str_repeat('A', 100000),
            token::sign($this->grant(), (string) $keyid, 'another secret'),
        ];
        foreach ($tokens as $token) {
            $this->assert_refused(403, 'token', $this->knock([$this->record()], ['token' => $token]));
        }
    }

    /**
     * A token is no longer one after its time, nor on another site.
     */
    public function test_token_expired_or_foreign_is_refused(): void {
        $this->open_page();
        $expired = keys::sign($this->grant(expires: time() - 1));
        $this->assert_refused(403, 'token', $this->knock([$this->record()], ['token' => $expired]));
        $foreign = keys::sign($this->grant(site: 'elsewhere'));
        $this->assert_refused(403, 'token', $this->knock([$this->record()], ['token' => $foreign]));
        $this->assertSame(200, $this->knock([$this->record()], ['token' => keys::sign($this->grant())])[0]);
    }

    /**
     * A token ends with the time of its attempt, as the form does.
     */
    public function test_token_ends_with_the_attempt(): void {
        $this->start([['shortanswer', 'frogtoad']], ['timelimit' => 300]);
        set_config('graceperiodmin', 60, 'quiz');
        $grant = attempts::grant($this->attempt, [], site::now());
        $this->assertSame($this->attempt->timestart + 360, $grant->expires);
    }

    /**
     * A grant for the attempt of this test.
     *
     * @param string|null $site
     * @param int|null $expires
     * @return grant
     */
    private function grant(?string $site = null, ?int $expires = null): grant {
        return new grant(
            $site ?? site::id(),
            (int) $this->attempt->id,
            (int) $this->student->id,
            (int) $this->quiz->id,
            (int) $this->attempt->uniqueid,
            [1 => $this->qa],
            page::mint(site::now()),
            $expires ?? time() + 60,
            false
        );
    }

    /**
     * The mark of a finished attempt closes the door, and a reopened one opens it.
     */
    public function test_finished_attempt_is_refused(): void {
        $this->open_page();
        closed::mark($this->attempt->id);
        $this->assert_refused(410, 'finished', $this->knock([$this->record()]));
        closed::clear($this->attempt->id);
        $this->assertSame(200, $this->knock([$this->record()])[0]);
    }

    /**
     * Records that are not what a page sends.
     *
     * @return array[]
     */
    public static function bad_records(): array {
        $fields = ['answer' => 'a', ':sequencecheck' => '1'];
        return [
            'no object' => ['answer'],
            'a type that only the server writes' => [['type' => 'saved']],
            'no type' => [['type' => null]],
            'no page' => [['page' => null]],
            'a page without a nonce' => [['page' => '0005f0c3a1b2c3d4-01234567']],
            'a page from the future' => [['page' => 'ffffffffffffffff-01234567.01234567']],
            'a counter below zero' => [['seq' => -1]],
            'a counter that is no whole number' => [['seq' => 1.5]],
            'no time' => [['at' => null]],
            'a slot that is not there' => [['slot' => 7]],
            'a slot that is no number' => [['slot' => '1']],
            'the question of another slot' => [['slot' => 2]],
            'another question attempt' => [['qa' => 1]],
            'a status that is none' => [['status' => 2]],
            'no fields' => [['fields' => []]],
            'a list for fields' => [['fields' => 'answer']],
            'a value that is no string' => [['fields' => $fields + ['x' => 1]]],
            'nested fields' => [['fields' => $fields + ['x' => ['y' => 'z']]]],
            'a field of another usage' => [['fields' => $fields + ['q1:1_answer' => 'z']]],
            'a field with a strange name' => [['fields' => $fields + ["a\nb" => 'z']]],
            'a field with brackets' => [['fields' => $fields + ['a[]' => 'z']]],
            'too many fields' => [['fields' => array_fill_keys(array_map(fn($i) => "f$i", range(1, 10000)), '1')]],
            'totals that are none' => [['type' => 'alive', 'counts' => ['hidden' => 'often']]],
            'too many totals' => [['type' => 'alive', 'counts' => array_fill(0, 100, 1)]],
        ];
    }

    /**
     * A bad record is named, and nothing of its request is in the stream.
     *
     * @param array|string $bad
     * @dataProvider bad_records
     */
    public function test_bad_record_is_refused(array|string $bad): void {
        $this->open_page();
        $good = $this->record();
        $reply = $this->knock([$good, is_array($bad) ? $this->record($bad) : $bad]);
        $this->assert_refused(400, 'bad', $reply);
        $this->assertSame(1, $reply[1]['index']);
    }

    /**
     * A request that is none.
     */
    public function test_request_that_is_no_json_is_refused(): void {
        global $CFG;
        $this->open_page();
        foreach (['', 'null', '[]', '{"records":1}', '{', str_repeat('[', 100), "{\"records\":[\"\xff\"]}"] as $body) {
            $this->assert_refused(400, 'bad', door::reply($CFG->dataroot, $body, site::now(), $this->stream));
        }
    }

    /**
     * What is too large is refused before it is decoded, and a record over the limit of the stream by name.
     */
    public function test_limits_are_kept(): void {
        $this->open_page();
        $huge = $this->record(['fields' => ['answer' => str_repeat('x', 2 * 1024 * 1024)]]);
        $this->assert_refused(413, 'toolarge', $this->knock([$huge]));
        $large = $this->record(['fields' => ['answer' => str_repeat('x', 262144)]]);
        $this->assert_refused(400, 'bad', $this->knock([$large]));
        $this->assert_refused(413, 'toolarge', $this->knock(array_fill(0, 501, $this->record())));

        set_config('maxbody', 100, 'local_examstream');
        keys::publish();
        $this->assert_refused(413, 'toolarge', $this->knock([$this->record()]));
    }

    /**
     * Without its file or the extension the door asks to come again.
     */
    public function test_door_that_cannot_take_anything_says_so(): void {
        global $CFG;
        $this->open_page();
        $this->stream->available = false;
        $this->assert_refused(503, 'unavailable', $this->knock([$this->record()]));
        $this->stream->available = true;
        unlink(door::directory($CFG->dataroot) . '/door.php');
        $this->assert_refused(503, 'unavailable', $this->knock([$this->record()]));
        // The next page writes it anew.
        $token = keys::sign($this->grant());
        $this->assertSame(200, $this->knock([$this->record()], ['token' => $token])[0]);
    }

    /**
     * A page that is open while the site turns to the web service goes on as it began; switched off is switched off.
     */
    public function test_open_page_goes_on_when_new_ones_use_the_web_service(): void {
        $this->open_page();
        set_config('mode', 'ws', 'local_examstream');
        keys::publish();
        $this->assertSame(200, $this->knock([$this->record()])[0]);
        $this->stream->records = [];
        set_config('enabled', 0, 'local_examstream');
        keys::publish();
        $this->assert_refused(503, 'unavailable', $this->knock([$this->record()]));
    }

    /**
     * A new key signs; the former verifies as long as its tokens live.
     */
    public function test_keys_rotate(): void {
        global $CFG;
        // The installation has made one, and when that was depends on where the tests run.
        unset_config('keys', 'local_examstream');
        $clock = $this->mock_clock_with_frozen(time());
        $this->open_page();
        keys::rotate();
        $this->assertSame('1', explode('.', keys::sign($this->grant()))[0]);

        $clock->bump(DAYSECS + 1);
        keys::rotate();
        $this->assertSame('2', explode('.', keys::sign($this->grant()))[0]);
        $old = token::sign($this->grant(expires: $clock->time() + 60), '1', door::read($CFG->dataroot)['keys'][1]);
        $this->assertSame(200, $this->knock([$this->record()], ['token' => $old])[0]);

        $clock->bump(4 * HOURSECS);
        keys::rotate();
        $this->assertSame([2], array_keys(door::read($CFG->dataroot)['keys']));
    }

    /**
     * Knocks where the extension replies by itself.
     *
     * @param array $more what differs in the request.
     * @param string|null $body
     * @return array|null [HTTP status, body]
     */
    private function try_door(array $more = [], ?string $body = null): ?array {
        $body ??= json_encode($more + ['token' => $this->token, 'sent' => 12.5, 'records' => [$this->record()]]);
        $reply = exam_stream_try_door($body);
        return isset($reply[0]) ? [$reply[0], json_decode($reply[1], true)] : $reply;
    }

    /**
     * Shows the extension the site's door for a minute, in which put.php does for a moment.
     */
    private function keep_door(): void {
        global $CFG;
        if (!$this->stream->behind) {
            $this->markTestSkipped('The extension replies, which is not loaded.');
        }
        $this->assertTrue(exam_stream_keep_door(door::read($CFG->dataroot), door::directory($CFG->dataroot), 60.0));
    }

    /**
     * A door that was shown lets a token of its site in, with the same records as the long way.
     */
    public function test_extension_replies_where_it_was_shown_the_door(): void {
        $this->open_page();
        $this->assertNull($this->try_door());
        $this->keep_door();
        $before = site::now();
        [$status, $reply] = $this->try_door(['records' => [$this->record(['fields' => ['answer' => 'from memory']])]]);
        $this->assertSame([200, 1], [$status, $reply['saved']]);
        $this->assertEqualsWithDelta($before, $reply['now'], 5);
        for ($tries = 0; $tries < 100 && !isset($state['slots'][1]); $tries++) {
            usleep(50000);
            $state = $this->stream->behind->state(site::id(), (int) $this->attempt->id);
        }
        $this->assertSame(['answer' => 'from memory'], $state['slots'][1]['fields']);
        $this->assertSame([200, 0], [$this->try_door(['records' => []])[0], $this->try_door(['records' => []])[1]['saved']]);
    }

    /**
     * Where PHP might have another word it is asked: nothing is accepted, and nothing refused.
     */
    public function test_extension_leaves_to_php_what_is_in_doubt(): void {
        global $CFG;
        $this->open_page();
        $this->keep_door();
        $accepted = fn(): int => $this->stream->behind->stats()['accepted'];
        $before = $accepted();
        $expired = keys::sign($this->grant(expires: time() - 1));
        $foreign = keys::sign($this->grant(site: 'elsewhere'));
        foreach ([null, 5, '', '..', 'a.b.c', $this->token . 'A', $expired, $foreign] as $token) {
            $this->assertNull($this->try_door(['token' => $token]));
        }
        foreach (['', '[]', '{', '{"records":1}', str_repeat(' ', 1048577)] as $body) {
            $this->assertNull($this->try_door([], $body));
        }
        $this->assertNull($this->try_door(['records' => [$this->record(), $this->record(['slot' => 7])]]));
        closed::mark($this->attempt->id);
        $this->assertNull($this->try_door());
        closed::clear($this->attempt->id);
        $this->assertNotNull($this->try_door(['records' => []]));

        // Whatever is published, what was shown before is no longer true.
        keys::publish();
        $this->assertNull($this->try_door());
        $this->keep_door();
        $this->assertNotNull($this->try_door(['records' => []]));
        unlink(door::directory($CFG->dataroot) . '/door.php');
        $this->assertNull($this->try_door());
        $this->assertSame($before, $accepted());
    }

    /**
     * A door of another site, or one that only other code was shown, lets nobody in.
     */
    public function test_door_that_other_code_was_shown_opens_to_nobody(): void {
        global $CFG;
        $this->open_page();
        $this->keep_door();
        $other = make_request_directory() . '/other.php';
        file_put_contents($other, '<?php return fn($body) => exam_stream_try_door($body);');
        $body = json_encode(['token' => $this->token, 'records' => []]);
        $this->assertNull((include($other))($body));
        $this->assertSame(200, exam_stream_try_door($body)[0]);

        $door = ['site' => 'elsewhere', 'keys' => [1 => 'x']] + door::read($CFG->dataroot);
        $this->assertTrue(exam_stream_keep_door($door, door::directory($CFG->dataroot), 60.0));
        $this->assertSame(200, exam_stream_try_door($body)[0]);
        $this->assertNull($this->try_door(['token' => keys::sign($this->grant(site: 'elsewhere'))]));
    }

    /**
     * A reply says when it was made, to the microsecond.
     */
    public function test_reply_is_encoded(): void {
        $reply = ['saved' => 2, 'now' => 1795884586.000001];
        $this->assertSame('{"now":1795884586.000001,"saved":2}', door::encode($reply));
        $this->assertSame('{"error":"token"}', door::encode(['error' => 'token']));
    }

    /**
     * Times have six digits behind the point, however few of them count.
     */
    public function test_times_are_written_to_the_microsecond(): void {
        $times = ['0.000000' => 0.0, '12.500000' => 12.5, '1795884586.000001' => 1795884586.000001, '2.000000' => 1.9999999,
            '99999999999.000000' => 99999999999.0];
        foreach ($times as $expected => $time) {
            $this->assertSame($expected, local\envelope::seconds($time));
            $this->assertSame($expected, local\envelope::seconds(json_decode($expected)));
        }
    }

    /**
     * Nobody but the web server's user reads the keys.
     */
    public function test_door_file_is_private(): void {
        global $CFG;
        keys::publish();
        $directory = door::directory($CFG->dataroot);
        $this->assertSame('0600', substr(sprintf('%o', fileperms("$directory/door.php")), -4));
        $this->assertSame('0700', substr(sprintf('%o', fileperms($directory)), -4));
    }
}
