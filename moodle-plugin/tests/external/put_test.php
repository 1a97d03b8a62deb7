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

namespace local_examstream\external;

use core_external\external_api;
use local_examstream\local\attempts;
use local_examstream\local\page;
use local_examstream\local\site;
use local_examstream\stream_testcase;
use mod_quiz\quiz_attempt;

defined('MOODLE_INTERNAL') || die();

require_once(__DIR__ . '/../fixtures/stream_testcase.php');

/**
 * The door with Moodle's own checks.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 * @covers \local_examstream\external\put
 */
final class put_test extends stream_testcase {
    /**
     * Hands an answer over.
     *
     * @param array $more what differs in the record.
     * @return array [status, body]
     */
    private function put(array $more = []): array {
        $body = json_encode(['records' => [$more + [
            'type' => 'answer', 'page' => page::mint(site::now()) . '.0123abcd', 'seq' => 1, 'at' => site::now(), 'slot' => 1,
            'qa' => attempts::questions($this->attempt)[1]['qa'], 'status' => 1, 'fields' => ['answer' => 'frog'],
        ]]]);
        $reply = external_api::clean_returnvalue(put::execute_returns(), put::execute((int) $this->attempt->id, $body));
        return [$reply['status'], json_decode($reply['json'], true)];
    }

    /**
     * An answer of the student's own attempt is taken, and says the same as through the other door.
     */
    public function test_answer_is_accepted(): void {
        $this->start([['shortanswer', 'frogtoad']]);
        [$status, $body] = $this->put();
        $this->assertSame([200, 1], [$status, $body['saved']]);
        [$record] = $this->stream->of_type('answer');
        $this->assertSame((int) $this->student->id, $record['student_id']);
        $this->assertSame(['answer' => 'frog'], $record['fields']);
    }

    /**
     * What may be written is judged by the same code.
     */
    public function test_foreign_slot_is_refused(): void {
        $this->start([['shortanswer', 'frogtoad']]);
        $this->assertSame('bad', $this->put(['slot' => 2])[1]['error']);
        $this->assertSame([], $this->stream->of_type('answer'));
    }

    /**
     * Another student's attempt is not one's own, not even for a teacher.
     */
    public function test_attempt_of_another_student_is_refused(): void {
        $this->start([['shortanswer', 'frogtoad']]);
        foreach (['student', 'editingteacher'] as $role) {
            $this->setUser($this->getDataGenerator()->create_and_enrol(get_course($this->quiz->course), $role));
            $this->assertSame([403, ['error' => 'token']], $this->put());
        }
        $this->assertSame([], $this->stream->of_type('answer'));
    }

    /**
     * Who is not in the course gets no further than Moodle's own check.
     */
    public function test_student_who_left_the_course_is_refused(): void {
        $this->start([['shortanswer', 'frogtoad']]);
        $this->setUser($this->getDataGenerator()->create_user());
        $this->expectException(\require_login_exception::class);
        $this->put();
    }

    /**
     * A finished attempt is refused, and one whose time is over.
     */
    public function test_attempt_that_is_over_is_refused(): void {
        global $DB;
        $this->start([['shortanswer', 'frogtoad']]);
        $DB->set_field('quiz_attempts', 'timecheckstate', time() - 1000, ['id' => $this->attempt->id]);
        $this->assertSame([403, ['error' => 'token']], $this->put());
        $this->finish_attempt(quiz_attempt::create($this->attempt->id));
        $this->assertSame([410, ['error' => 'finished']], $this->put());
        $this->assertSame([], $this->stream->of_type('answer'));
    }

    /**
     * Without the extension, or in an excepted quiz, the browser is asked to keep its answers.
     */
    public function test_answer_is_kept_by_the_browser_when_nothing_can_be_taken(): void {
        $this->start([['shortanswer', 'frogtoad']]);
        $this->stream->available = false;
        $this->assertSame(503, $this->put()[0]);
        $this->stream->available = true;
        set_config('enabled', 0, 'local_examstream');
        $this->assertSame(503, $this->put()[0]);
    }

    /**
     * It can be asked through Moodle's AJAX, with login and sesskey.
     */
    public function test_function_is_declared(): void {
        $this->start([['shortanswer', 'frogtoad']]);
        $info = external_api::external_function_info('local_examstream_put');
        $this->assertTrue($info->allowed_from_ajax);
        $this->assertTrue($info->loginrequired);
        $this->assertSame('write', $info->type);
    }
}
