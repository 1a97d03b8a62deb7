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

use local_examstream\local\envelope;
use local_examstream\local\help_queue;
use local_examstream\local\site;
use local_examstream\stream_testcase;

defined('MOODLE_INTERNAL') || die();

require_once(__DIR__ . '/../fixtures/stream_testcase.php');

/**
 * What invigilators do about a call for help.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 * @covers    \local_examstream\external\help_step
 * @covers    \local_examstream\local\help_queue
 */
final class help_step_test extends stream_testcase {
    /** @var string the student's call. */
    private string $call;

    /**
     * A student has called.
     *
     * @param array $settings of the quiz.
     */
    private function called(array $settings = []): void {
        $this->start([['shortanswer', 'frogtoad']], $settings);
        $this->call = $this->ask_for_help($this->attempt, 'Is a frog a toad?');
        $this->log_in();
    }

    /**
     * An invigilator is logged in.
     *
     * @param string $role
     * @return \stdClass
     */
    private function log_in(string $role = 'teacher'): \stdClass {
        $user = $this->getDataGenerator()->create_and_enrol(get_course($this->quiz->course), $role);
        $this->setUser($user);
        return $user;
    }

    /**
     * A step.
     *
     * @param string $step
     * @param string $text
     * @param string|null $call
     */
    private function step(string $step, string $text = '', ?string $call = null): void {
        help_step::execute($this->quiz->cmid, $this->attempt->id, $call ?? $this->call, $step, $text);
    }

    /**
     * A step is refused.
     *
     * @param string $code of the sentence.
     * @param string $step
     * @param string $text
     * @param string|null $call
     * @return string the sentence.
     */
    private function refused(string $code, string $step, string $text = '', ?string $call = null): string {
        $before = count($this->stream->records);
        try {
            $this->step($step, $text, $call);
        } catch (\moodle_exception $e) {
            $this->assertSame($code, $e->errorcode);
            $this->assertCount($before, $this->stream->records);
            return $e->getMessage();
        }
        $this->fail("$step was not refused");
    }

    /**
     * The steps of the call, as the state store has them.
     *
     * @return array[]
     */
    private function steps(): array {
        return $this->stream->state(site::id(), (int) $this->attempt->id)['help'][$this->call];
    }

    /**
     * Take, answer, close: all in the stream and the state, and no sign of life of the student.
     */
    public function test_a_call_is_taken_answered_and_closed(): void {
        global $USER;
        $this->called();
        $seen = $this->stream->state(site::id(), (int) $this->attempt->id)['last_seen'];
        $text = "No. <script>alert(1)</script>\n\u{202e}ever";
        $this->step('taken');
        $this->step('answered', "  $text ");
        $this->step('closed');
        $steps = $this->steps();
        $this->assertEqualsCanonicalizing(['asked', 'taken', 'answered', 'closed'], array_keys($steps));
        $this->assertSame($text, $steps['answered']['text']);
        $this->assertSame((int) $USER->id, $steps['taken']['by']);
        $this->assertSame($seen, $this->stream->state(site::id(), (int) $this->attempt->id)['last_seen']);
        $record = $this->stream->of_type('help')[2];
        $this->assertSame(
            [(int) $this->quiz->id, (int) $this->attempt->id, (int) $this->attempt->uniqueid, (int) $this->student->id],
            [$record['quiz'], $record['attempt'], $record['usage'], $record['student_id']]
        );
    }

    /**
     * Who comes second is told who came first.
     */
    public function test_a_second_taker_is_refused_with_a_sentence(): void {
        global $USER;
        $this->called();
        $this->step('taken');
        $first = fullname($USER);
        $this->log_in();
        $this->assertStringContainsString($first, $this->refused('helpqueue_istaken', 'taken'));
        $this->refused('helpqueue_istaken', 'answered', 'Me too');
        $this->assertCount(2, $this->steps());
    }

    /**
     * Whoever took a call and went home does not keep it for ever.
     */
    public function test_a_call_without_an_answer_can_be_taken_over_in_time(): void {
        $this->called();
        $away = $this->log_in();
        $then = site::now() - help_queue::HELD - 1;
        $this->put_record($this->attempt, 'help', ['call' => $this->call, 'step' => 'taken', 'by' => (int) $away->id, 'ts' => $then,
            'at' => $then]);
        $me = $this->log_in();
        $this->step('taken');
        $this->assertSame((int) $me->id, $this->steps()['taken']['by']);
    }

    /**
     * An answer may be corrected by its author until the call is closed.
     */
    public function test_a_closed_call_stays_closed(): void {
        $this->called();
        $this->step('answered', 'No');
        $this->step('answered', 'Yes');
        $this->assertSame('Yes', $this->steps()['answered']['text']);
        $this->step('closed');
        foreach (help_queue::STEPS as $step) {
            $this->refused('helpqueue_isclosed', $step, 'x');
        }
    }

    /**
     * An answer has a length.
     */
    public function test_answers_are_neither_empty_nor_endless(): void {
        $this->called();
        $this->refused('helpqueue_empty', 'answered', " \n");
        $this->refused('helpqueue_toolong', 'answered', str_repeat("\u{1f438}", help_queue::MAX_TEXT + 1));
        $this->step('answered', str_repeat("\u{1f438}", help_queue::MAX_TEXT));
        $this->assertSame(help_queue::MAX_TEXT, \core_text::strlen($this->steps()['answered']['text']));
    }

    /**
     * A step that is none.
     */
    public function test_students_steps_are_not_for_invigilators(): void {
        $this->called();
        $this->expectException(\invalid_parameter_exception::class);
        $this->step('asked', 'x');
    }

    /**
     * Whether there is such a call is told to those only who may see the student.
     */
    public function test_calls_of_others_are_unknown(): void {
        global $USER;
        $this->called(['groupmode' => SEPARATEGROUPS]);
        $foreign = $this->refused('helpqueue_unknown', 'taken');
        $group = $this->getDataGenerator()->create_group(['courseid' => $this->quiz->course]);
        groups_add_member($group, $USER);
        $this->assertSame($foreign, $this->refused('helpqueue_unknown', 'taken'));
        groups_add_member($group, $this->student);
        $this->assertSame($foreign, $this->refused('helpqueue_unknown', 'taken', '', 'no-such-call'));
        $this->step('taken');

        // An attempt of another quiz.
        $other = $this->getDataGenerator()->create_module('quiz', ['course' => $this->quiz->course]);
        $this->expectExceptionMessage($foreign);
        help_step::execute($other->cmid, $this->attempt->id, $this->call, 'closed');
    }

    /**
     * Students do not answer.
     */
    public function test_students_may_not_answer(): void {
        $this->called();
        $this->setUser($this->student);
        $this->expectException(\required_capability_exception::class);
        $this->step('answered', 'Yes');
    }

    /**
     * A spool that takes nothing is told.
     */
    public function test_a_step_that_is_not_accepted_is_told(): void {
        $this->called();
        $this->stream->room = 0;
        $this->refused('helpqueue_full', 'taken');
    }
}
