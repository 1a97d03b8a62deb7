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

use local_examstream\local\capture;
use local_examstream\local\door;
use local_examstream\local\helpdesk;
use local_examstream\local\quiz_form;
use local_examstream\local\resume;
use local_examstream\local\site;

defined('MOODLE_INTERNAL') || die();

require_once(__DIR__ . '/fixtures/stream_testcase.php');

/**
 * The student's side of the help desk.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 * @covers \local_examstream\local\helpdesk
 * @covers \local_examstream\local\door
 */
final class helpdesk_test extends stream_testcase {
    /** @var array what the script of the page is told. */
    private array $config;

    /**
     * A student's page with a help desk.
     *
     * @param int $on
     */
    private function open_page(int $on = 1): void {
        $this->start([['shortanswer', 'frogtoad'], ['truefalse', 'true']]);
        quiz_form::set((int) $this->quiz->id, ['helpdesk' => $on]);
        $this->reload();
        $this->stream->records = [];
    }

    /**
     * The page is loaded.
     */
    private function reload(): void {
        resume::attempt((int) $this->attempt->id);
        capture::viewed($this->attempt);
        $this->config = capture::config(0);
    }

    /**
     * A record of a call.
     *
     * @param array $more
     * @return array
     */
    private function call(array $more = []): array {
        $page = $this->config['page'] . '.0123abcd';
        return $more + ['type' => 'help', 'page' => $page, 'seq' => ++$this->seq, 'at' => site::now()];
    }

    /**
     * Knocks.
     *
     * @param array $records
     * @param array $more what differs in the request.
     * @return array [HTTP status, body]
     */
    private function knock(array $records = [], array $more = []): array {
        global $CFG;
        $body = json_encode($more + ['token' => $this->config['token'], 'records' => $records]);
        return door::reply($CFG->dataroot, $body, site::now(), $this->stream);
    }

    /**
     * Asks for help.
     *
     * @param array $more
     * @return string the call.
     */
    private function ask(array $more = []): string {
        $record = $this->call($more);
        $this->assertSame(200, $this->knock([$record])[0]);
        return "{$this->attempt->id}-{$record['page']}-{$record['seq']}";
    }

    /**
     * The steps of the calls that the page hears of.
     *
     * @return string[] call => step
     */
    private function steps(): array {
        return array_column($this->knock([], ['help' => ''])[1]['help']['calls'], 'step', 'call');
    }

    /**
     * A call goes into the stream, said by the student and of the attempt that the token says.
     */
    public function test_call_is_accepted(): void {
        $this->open_page();
        $text = "<script>alert(1)</script>\u{202e}\n" . str_repeat('é', helpdesk::MAX_TEXT - 27);
        $call = $this->ask(['slot' => 2, 'text' => $text, 'by' => 1, 'step' => 'answered']);
        [$record] = $this->stream->records;
        $this->assertSame(
            ['help', $call, 'asked', (int) $this->student->id, 2, $text],
            [$record['type'], $record['call'], $record['step'], $record['by'], $record['slot'], $record['text']]
        );
        $this->assertSame($call, $record['id']);
        // Text and question may be left out.
        $this->ask();
        $this->assertSame('', $this->stream->records[1]['text']);
        $this->assertArrayNotHasKey('slot', $this->stream->records[1]);
    }

    /**
     * Calls that are none.
     *
     * @return array[]
     */
    public static function bad_calls(): array {
        return [
            'a text that is too long' => [['text' => str_repeat('é', 10001)]],
            'a text that is none' => [['text' => ['x']]],
            'a slot that is not there' => [['slot' => 9]],
            'a slot that is no number' => [['slot' => '1']],
            'a call that is none' => [['call' => 5]],
            'a call of another attempt' => [['call' => '1-0005f0c3a1b2c3d4-01234567.01234567-1']],
            'a call with a strange name' => [['call' => '%d-x-1']],
            'a call that nobody made' => [['call' => '%d-0005f0c3a1b2c3d4-01234567.01234567-1']],
        ];
    }

    /**
     * A bad call is named, and nothing of its request is in the stream.
     *
     * @param array $bad
     * @dataProvider bad_calls
     */
    public function test_bad_call_is_refused(array $bad): void {
        $this->open_page();
        if (is_string($bad['call'] ?? null)) {
            $bad['call'] = sprintf($bad['call'], $this->attempt->id);
        }
        [$status, $body] = $this->knock([$this->call(), $this->call($bad)]);
        $this->assertSame([400, 1], [$status, $body['index']]);
        $this->assertSame([], $this->stream->records);
    }

    /**
     * Where there is no help desk, nothing of it is taken or told.
     */
    public function test_no_call_without_a_help_desk(): void {
        $this->open_page(0);
        $this->assertNull($this->config['help']);
        $this->assertSame(400, $this->knock([$this->call()])[0]);
        $this->desk("{$this->attempt->id}-x-1", 'answered', ['text' => 'secret']);
        $this->assertArrayNotHasKey('help', $this->knock([], ['help' => ''])[1]);
        $this->reload();
        $this->assertNull($this->config['help']);
    }

    /**
     * The page hears how its call stands, whichever page of the attempt it is, and who at the desk it was is not said.
     */
    public function test_student_hears_how_the_call_stands(): void {
        $this->open_page();
        $this->assertSame([], $this->config['help']['calls']);
        $call = $this->ask(['text' => 'Question 2 has no picture', 'slot' => 2]);
        $this->assertSame([$call => 'asked'], $this->steps());
        $this->desk($call, 'taken', ['by' => 77]);
        $this->assertSame([$call => 'taken'], $this->steps());
        $this->desk($call, 'answered', ['by' => 77, 'text' => '<b>Reload</b>']);
        $reply = $this->knock([], ['help' => ''])[1]['help'];
        $this->assertSame(
            ['answered', 'Question 2 has no picture', 2, '<b>Reload</b>'],
            [$reply['calls'][0]['step'], $reply['calls'][0]['text'], $reply['calls'][0]['slot'], $reply['calls'][0]['answer']]
        );
        $this->assertSame(['call', 'step', 'ts', 'asked', 'slot', 'text', 'answer'], array_keys($reply['calls'][0]));
        // Nothing new, nothing told.
        $this->assertArrayNotHasKey('help', $this->knock([], ['help' => $reply['tag']])[1]);
        $this->assertArrayNotHasKey('help', $this->knock([])[1]);

        $this->reload();
        $this->assertSame($reply, $this->config['help']);
        $this->desk($call, 'closed');
        $this->assertSame([$call => 'answered'], $this->steps());
    }

    /**
     * A call that is no longer needed is withdrawn, also one of the same request.
     */
    public function test_call_can_be_withdrawn(): void {
        $this->open_page();
        $first = $this->ask();
        $second = $this->call();
        $id = "{$this->attempt->id}-{$second['page']}-{$second['seq']}";
        [$status] = $this->knock([$this->call(['call' => $first, 'text' => 'x']), $second, $this->call(['call' => $id])]);
        $this->assertSame(200, $status);
        $this->assertSame([$first => 'withdrawn', $id => 'withdrawn'], $this->steps());
        $this->assertSame('closed', $this->stream->records[1]['step']);
        $this->assertSame((int) $this->student->id, $this->stream->records[1]['by']);
    }

    /**
     * Few calls may wait at once; one that is answered or withdrawn makes room, a resent one needs none.
     */
    public function test_calls_are_limited(): void {
        $this->open_page();
        $calls = [];
        for ($i = 0; $i < helpdesk::MAX_OPEN; $i++) {
            $record = $this->call();
            $this->assertSame(200, $this->knock([$record])[0]);
            $calls[] = "{$this->attempt->id}-{$record['page']}-{$record['seq']}";
        }
        $this->assertSame(400, $this->knock([$this->call()])[0]);
        $this->assertSame(200, $this->knock([$record])[0]);
        $this->desk($calls[0], 'answered', ['text' => 'Yes']);
        $this->ask();
        $this->assertSame(400, $this->knock([$this->call()])[0]);
        $this->knock([$this->call(['call' => $calls[1]])]);
        $this->ask();
    }

    /**
     * Nor may there be any number of them one after the other.
     */
    public function test_calls_of_an_attempt_are_limited(): void {
        $this->open_page();
        for ($i = 0; $i < helpdesk::MAX_CALLS; $i++) {
            $this->desk($this->ask(), 'closed');
        }
        $this->assertSame(400, $this->knock([$this->call()])[0]);
    }

    /**
     * A state store that is down keeps nobody from asking, and the page keeps what it knows.
     */
    public function test_call_is_accepted_while_the_state_store_is_down(): void {
        $this->open_page();
        $this->stream->storeup = false;
        [$status, $body] = $this->knock([$this->call()], ['help' => '']);
        $this->assertSame(200, $status);
        $this->assertArrayNotHasKey('help', $body);
    }

    /**
     * After a database was restored, another attempt may have the id of an earlier one: its calls are not shown.
     */
    public function test_calls_of_another_attempt_with_the_same_id_are_not_told(): void {
        global $DB;
        $this->open_page();
        $this->ask(['text' => 'mine']);
        $DB->set_field('quiz_attempts', 'uniqueid', $this->attempt->uniqueid + 1000, ['id' => $this->attempt->id]);
        $this->attempt->uniqueid += 1000;
        $grant = local\attempts::grant($this->attempt, [], site::now(), local\switches::of_quiz((int) $this->quiz->id));
        $this->assertSame([], helpdesk::ask($grant, $this->stream)->news('')['calls']);
    }

    /**
     * The web service tells the same.
     */
    public function test_web_service_tells_the_same(): void {
        $this->open_page();
        $record = $this->call(['text' => 'Help']);
        $put = fn(array $request): array => json_decode(
            external\put::execute((int) $this->attempt->id, json_encode($request + ['records' => []]))['json'],
            true
        );
        $this->assertSame(1, $put(['records' => [$record]])['saved']);
        $this->assertSame('Help', $put(['help' => ''])['help']['calls'][0]['text']);
    }
}
