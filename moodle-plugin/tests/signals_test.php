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
use local_examstream\local\grant;
use local_examstream\local\keys;
use local_examstream\local\page;
use local_examstream\local\quiz_form;
use local_examstream\local\site;
use local_examstream\local\switches;

defined('MOODLE_INTERNAL') || die();

require_once(__DIR__ . '/fixtures/stream_testcase.php');

/**
 * Signs about an attempt: what is off is not stored, what is on is named.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 * @covers \local_examstream\local\switches
 * @covers \local_examstream\local\door
 * @covers \local_examstream\output\attempt_parts
 */
final class signals_test extends stream_testcase {
    /** What a script would send that knows no restraint. */
    private const EVERYTHING = [
        'counts' => ['hidden' => 1, 'hidden_s' => 2, 'pasted' => 3, 'copied' => 4, 'offline' => 5, 'offline_s' => 6, 'other' => 7],
        'device' => '0123456789abcdef0123456789abcdef', 'address' => '10.0.0.1', 'agent' => 'Firefox',
    ];

    /** A browser. */
    private const BROWSER = ['REMOTE_ADDR' => '192.0.2.7', 'HTTP_USER_AGENT' => 'Firefox'];

    /**
     * The student's page sends a sign of life.
     *
     * @param array $more what differs in the record.
     * @param string[] $server
     * @param array|null $config of the page.
     * @return array [the reply, the record in the stream or null]
     */
    private function live(array $more = [], array $server = self::BROWSER, ?array $config = null): array {
        global $CFG;
        $config ??= $this->config();
        $record = $more + ['type' => 'alive', 'page' => $config['page'] . '.0123abcd', 'seq' => ++$this->seq, 'at' => site::now()]
            + self::EVERYTHING;
        $this->stream->records = [];
        $body = json_encode(['token' => $config['token'], 'records' => [$record]]);
        $reply = door::reply($CFG->dataroot, $body, site::now(), $this->stream, $server);
        return [$reply, $this->stream->records[0] ?? null];
    }

    /**
     * What the script of a new page is told.
     *
     * @return array
     */
    private function config(): array {
        capture::viewed($this->attempt);
        return capture::config(0);
    }

    /**
     * Nothing is noted until somebody switches it on.
     */
    public function test_nothing_is_noted_by_default(): void {
        $this->start([['shortanswer', 'frogtoad']]);
        $this->assertSame([], $this->config()['switches']);
        [[$status], $record] = $this->live();
        $this->assertSame(200, $status);
        $this->assertSame([], $record['counts']);
        $this->assertSame([], array_intersect_key($record, array_flip(['device', 'address', 'agent'])));
    }

    /**
     * Each sign and what it lets through.
     *
     * @return array[]
     */
    public static function signs(): array {
        return [
            ['signalhidden', ['hidden' => 1, 'hidden_s' => 2], []],
            ['signalclipboard', ['pasted' => 3, 'copied' => 4], []],
            ['signalconnection', ['offline' => 5, 'offline_s' => 6], []],
            ['signaladdress', [], ['address', 'agent']],
            ['signaldevice', [], ['device']],
        ];
    }

    /**
     * What is switched on is stored, and nothing else, whatever the browser sends.
     *
     * @param string $switch
     * @param int[] $counts
     * @param string[] $fields
     * @dataProvider signs
     */
    public function test_only_what_is_on_is_stored(string $switch, array $counts, array $fields): void {
        $this->start([['shortanswer', 'frogtoad']]);
        quiz_form::set((int) $this->quiz->id, [$switch => 1]);
        $this->assertSame([$switch], $this->config()['switches']);
        [, $record] = $this->live();
        $this->assertSame($counts, $record['counts']);
        $this->assertSame($fields, array_keys(array_intersect_key($record, array_flip(['address', 'agent', 'device']))));
    }

    /**
     * The site says never, off or on; a quiz overrides off and on.
     */
    public function test_quiz_overrides_the_site_but_for_never(): void {
        $this->start([['shortanswer', 'frogtoad']]);
        $quizid = (int) $this->quiz->id;
        $on = fn(): bool => (bool) (switches::of_quiz($quizid) & switches::BITS['signalhidden']);
        foreach (['never' => [0, 0, 0], 'off' => [0, 0, 1], 'on' => [1, 0, 1]] as $site => $expected) {
            set_config('signalhidden', $site, 'local_examstream');
            foreach ([null, 0, 1] as $i => $quiz) {
                quiz_form::set($quizid, ['signalhidden' => $quiz]);
                $this->assertSame((bool) $expected[$i], $on(), "site $site, quiz " . json_encode($quiz));
            }
        }
    }

    /**
     * "Never" holds at once, for pages that have their token.
     */
    public function test_never_holds_for_open_pages(): void {
        $this->start([['shortanswer', 'frogtoad']]);
        set_config('signalclipboard', 'on', 'local_examstream');
        keys::publish();
        $config = $this->config();
        $this->assertSame(['pasted' => 3, 'copied' => 4], $this->live(config: $config)[1]['counts']);
        $this->setAdminUser();
        admin_write_settings((object) ['s_local_examstream_signalclipboard' => 'never']);
        $this->assertSame([], $this->live(config: $config)[1]['counts']);
    }

    /**
     * The marks of a request about an attempt.
     *
     * @param string[] $server the request, as in $_SERVER.
     * @param int $attempt
     * @return string[] address and agent.
     */
    private function marks(array $server, int $attempt = 5): array {
        global $CFG;
        $bits = switches::BITS['signaladdress'];
        $grant = new grant(site::id(), $attempt, 1, 1, 1, [], page::mint(site::now()), time() + 60, false, $bits);
        $record = ['type' => 'alive', 'page' => $grant->page . '.0123abcd', 'seq' => 1, 'at' => site::now()];
        $body = json_encode(['token' => keys::sign($grant), 'records' => [$record]]);
        [$status, $what] = $this->stream->admit($body, door::read($CFG->dataroot), site::now(), $server);
        $this->assertSame(200, $status);
        return array_intersect_key(json_decode($what['lines'][0], true), ['address' => 1, 'agent' => 1]);
    }

    /**
     * Neither address nor browser can be read from the marks; they tell a change, and only within the attempt.
     */
    public function test_marks_tell_a_change_and_nothing_else(): void {
        set_config('signaladdress', 'on', 'local_examstream');
        keys::publish();
        $marks = fn(array $server, int $attempt = 5): array => $this->marks($server + self::BROWSER, $attempt);
        $first = $marks([]);
        $this->assertMatchesRegularExpression('/^[0-9a-f]{16}$/', $first['address']);
        $this->assertMatchesRegularExpression('/^[0-9a-f]{16}$/', $first['agent']);
        $this->assertSame($first, $marks([]));
        $this->assertSame($first['address'], $marks(['REMOTE_ADDR' => '::ffff:192.0.2.7'])['address']);
        $moved = $marks(['REMOTE_ADDR' => '192.0.2.8']);
        $this->assertNotSame($first['address'], $moved['address']);
        $this->assertSame($first['agent'], $moved['agent']);
        $this->assertNotSame($first['agent'], $marks(['HTTP_USER_AGENT' => 'Chrome'])['agent']);
        $this->assertSame([], array_intersect($first, $marks([], 6)));
        $this->assertSame(['agent'], array_keys($marks(['REMOTE_ADDR' => 'unix:'])));
        // Browsers change the second half of an IPv6 address by themselves.
        $this->assertSame(
            $marks(['REMOTE_ADDR' => '2001:db8:0:1::1'])['address'],
            $marks(['REMOTE_ADDR' => '2001:db8:0:1:ffff::2'])['address']
        );
        $this->assertNotSame(
            $marks(['REMOTE_ADDR' => '2001:db8:0:1::1'])['address'],
            $marks(['REMOTE_ADDR' => '2001:db8:0:2::1'])['address']
        );
    }

    /**
     * Behind a proxy the address is the one that Moodle itself would take.
     */
    public function test_address_behind_a_proxy_is_read_as_moodle_reads_it(): void {
        global $CFG;
        set_config('signaladdress', 'on', 'local_examstream');
        $mark = fn(array $server): ?string => $this->marks($server)['address'] ?? null;
        $cases = [
            ['192.0.2.1', '', '203.0.113.9'],
            ['203.0.113.9', '', '203.0.113.9'],
            ['192.0.2.1', '', '198.51.100.1, 203.0.113.9:4711'],
            ['192.0.2.1', '10.1.2.3,10.2.0.0/15', '203.0.113.9, 10.1.2.3, 10.3.255.1'],
            ['192.0.2.1', '', '[2001:db8::1]:4711'],
        ];
        foreach ($cases as [$remote, $proxies, $forwarded]) {
            $CFG->getremoteaddrconf = 1;
            $CFG->reverseproxyignore = $proxies;
            keys::publish();
            $_SERVER['HTTP_X_FORWARDED_FOR'] = $forwarded;
            $_SERVER['REMOTE_ADDR'] = $remote;
            $expected = getremoteaddr();
            $behind = $mark(['REMOTE_ADDR' => $remote, 'HTTP_X_FORWARDED_FOR' => $forwarded]);
            $CFG->getremoteaddrconf = 3;
            keys::publish();
            $this->assertSame($mark(['REMOTE_ADDR' => $expected]), $behind, $forwarded);
            // Who is not believed says nothing.
            $direct = $mark(['REMOTE_ADDR' => $remote, 'HTTP_X_FORWARDED_FOR' => $forwarded]);
            $this->assertSame($mark(['REMOTE_ADDR' => $remote]), $direct);
        }
        unset($_SERVER['HTTP_X_FORWARDED_FOR']);
    }

    /**
     * A device has a number, not a name.
     */
    public function test_device_that_is_no_number_is_refused(): void {
        $this->start([['shortanswer', 'frogtoad']]);
        quiz_form::set((int) $this->quiz->id, ['signaldevice' => 1]);
        foreach (['', 'Laptop', str_repeat('a', 33), 5, ['a']] as $device) {
            [[$status, $body]] = $this->live(['device' => $device]);
            $this->assertSame([400, 'bad'], [$status, $body['error']]);
        }
    }

    /**
     * The web service notes the same.
     */
    public function test_web_service_notes_the_same(): void {
        $this->start([['shortanswer', 'frogtoad']]);
        quiz_form::set((int) $this->quiz->id, ['signaladdress' => 1, 'signaldevice' => 1]);
        $_SERVER = self::BROWSER + $_SERVER;
        [, $door] = $this->live([], $_SERVER);
        $page = $this->config()['page'] . '.0123abcd';
        $record = ['type' => 'alive', 'page' => $page, 'seq' => 1, 'at' => site::now()] + self::EVERYTHING;
        $this->stream->records = [];
        external\put::execute((int) $this->attempt->id, json_encode(['records' => [$record]]));
        foreach (['counts', 'device', 'address', 'agent'] as $field) {
            $this->assertSame($door[$field], $this->stream->records[0][$field]);
        }
    }

    /**
     * Each sign that is on is named to the student, and no other.
     *
     * @param string $switch
     * @dataProvider signs
     */
    public function test_student_is_told_what_is_noted(string $switch): void {
        global $PAGE;
        $output = $PAGE->get_renderer('core');
        $context = (new output\attempt_parts([$switch]))->export_for_template($output);
        $html = $output->render_from_template('local_examstream/attempt_parts', $context);
        foreach (array_column(self::signs(), 0) as $other) {
            $named = str_contains($html, s(get_string("{$other}_noted", 'local_examstream')));
            $this->assertSame($other === $switch, $named, $other);
            $this->assertSame($other === $switch, str_contains($html, get_string("{$other}_name", 'local_examstream')));
        }
        $context = (new output\attempt_parts([]))->export_for_template($output);
        $this->assertSame('', trim(strip_tags($output->render_from_template('local_examstream/attempt_parts', $context))));
    }

    /**
     * Everything that can be switched has its strings.
     */
    public function test_switches_have_their_strings(): void {
        $manager = get_string_manager();
        foreach (array_keys(switches::BITS) as $switch) {
            $this->assertTrue($manager->string_exists("{$switch}_setting", 'local_examstream'), $switch);
            $this->assertTrue($manager->string_exists("{$switch}_setting_help", 'local_examstream'), $switch);
        }
    }
}
