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

use local_examstream\local\closed;
use local_examstream\local\page;
use local_examstream\local\site;
use local_examstream\task\fold_silent_attempts;
use local_examstream\task\keep_house;
use mod_quiz\quiz_attempt;

defined('MOODLE_INTERNAL') || die();

require_once(__DIR__ . '/fixtures/stream_testcase.php');

/**
 * Students who never come back.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 * @covers \local_examstream\task\fold_silent_attempts
 * @covers \local_examstream\task\bring_in_late_answers
 * @covers \local_examstream\task\keep_house
 * @covers \local_examstream\local\late_answers
 */
final class task_test extends stream_testcase {
    /** @var \incrementing_clock|\frozen_clock the site's clock. */
    private $clock;

    #[\Override]
    protected function setUp(): void {
        parent::setUp();
        // Questions are started by the real clock; the student answers some minutes later.
        $this->clock = $this->mock_clock_with_frozen(time() + 120);
    }

    /**
     * An attempt whose student answers and disappears.
     *
     * @param array $settings of the quiz.
     */
    private function disappear(array $settings): void {
        $this->start(
            [['shortanswer', 'frogtoad'], ['shortanswer', 'frogtoad'], ['truefalse', 'true']],
            $settings + ['timelimit' => 300, 'graceperiod' => 600]
        );
        $this->answer(1, ['answer' => 'frog']);
        $this->answer(2, ['answer' => 'toad']);
        $this->answer(3, ['answer' => '1']);
    }

    /**
     * The attempt's time is over, for Moodle's own tasks, which look at the real clock.
     */
    private function let_time_run_out(): void {
        global $DB;
        $this->clock->bump(400);
        $DB->execute(
            "UPDATE {quiz_attempts} SET timestart = timestart - 400, timecheckstate = timecheckstate - 400 WHERE id = ?",
            [$this->attempt->id]
        );
    }

    /**
     * Runs our task.
     *
     * @return string its log.
     */
    private function run_ours(): string {
        ob_start();
        try {
            (new fold_silent_attempts())->execute();
        } finally {
            $log = ob_get_clean();
        }
        return $log;
    }

    /**
     * Runs Moodle's.
     */
    private function run_moodles(): void {
        ob_start();
        (new \mod_quiz\task\update_overdue_attempts())->execute();
        ob_end_clean();
    }

    /**
     * Runs what was queued.
     */
    private function run_queued(): void {
        ob_start();
        $this->run_adhoc();
        ob_end_clean();
    }

    /**
     * Runs what was queued, as cron does.
     */
    private function run_adhoc(): void {
        while ($task = \core\task\manager::get_next_adhoc_task($this->clock->time() + 1)) {
            \core\cron::setup_user(\core_user::get_user($task->get_userid()));
            $task->execute();
            \core\task\manager::adhoc_task_complete($task);
        }
        \core\cron::setup_user();
    }

    /**
     * Both orders, and what the quiz says about time that is over.
     *
     * @return array[]
     */
    public static function orders(): array {
        $cases = [];
        foreach (['autosubmit' => 'finished', 'graceperiod' => 'overdue', 'autoabandon' => 'abandoned'] as $handling => $state) {
            $cases["$handling, our task first"] = [$handling, $state, true];
            $cases["$handling, Moodle's first"] = [$handling, $state, false];
        }
        return $cases;
    }

    /**
     * The streamed answers are in, in either order of the tasks, and the quiz's setting decides what becomes of them.
     *
     * @param string $handling
     * @param string $state
     * @param bool $oursfirst
     * @dataProvider orders
     */
    public function test_answers_of_a_student_who_never_returns_are_in(string $handling, string $state, bool $oursfirst): void {
        $this->disappear(['overduehandling' => $handling]);
        $this->let_time_run_out();
        if ($oursfirst) {
            $this->run_ours();
            $this->run_moodles();
        } else {
            $this->run_moodles();
            $this->clock->bump(61);
            $this->run_ours();
        }
        $this->run_queued();

        $attempt = quiz_attempt::create($this->attempt->id);
        $this->assertSame($state, $attempt->get_state());
        $this->assertSame('frog', $attempt->get_question_attempt(1)->get_last_qt_var('answer'));
        $this->assertSame('toad', $attempt->get_question_attempt(2)->get_last_qt_var('answer'));
        $this->assertSame('1', $attempt->get_question_attempt(3)->get_last_qt_var('answer'));
        if ($state === 'finished') {
            $this->assertEqualsWithDelta(2.8, $attempt->get_sum_marks(), 0.001);
            $this->assertEqualsWithDelta(2.8 / 3 * 100, quiz_get_best_grade($attempt->get_quiz(), $this->student->id), 0.001);
        } else {
            $this->assertNull($attempt->get_sum_marks());
        }
    }

    /**
     * Both orders end in the same steps.
     */
    public function test_order_of_the_tasks_leaves_no_trace_in_the_steps(): void {
        $histories = [];
        foreach ([true, false] as $oursfirst) {
            $this->disappear(['overduehandling' => 'autosubmit']);
            // What Moodle's autosave has is older than the stream.
            $this->autosave([2 => ['answer' => 't'], 3 => ['answer' => '1']], $this->field());
            $this->let_time_run_out();
            $oursfirst ? $this->run_ours() : $this->run_moodles();
            $oursfirst ? $this->run_moodles() : $this->run_queued();
            $history = [];
            foreach ($this->usage()->get_attempt_iterator() as $slot => $qa) {
                foreach ($qa->get_step_iterator() as $step) {
                    $history[$slot][] = [(string) $step->get_state(), $step->get_submitted_data(), $step->get_fraction()];
                }
            }
            $histories[] = $history;
        }
        $this->assertEquals($histories[0], $histories[1]);
        $this->assertSame(['answer' => 'toad'], $histories[1][2][1][1]);
    }

    /**
     * What was typed and undone after a form was posted is not graded, nor is a choice that was cleared.
     */
    public function test_undone_answers_are_undone_in_an_attempt_that_was_closed(): void {
        $this->start(
            [['shortanswer', 'frogtoad'], ['multichoice', 'one_of_four']],
            ['timelimit' => 300, 'overduehandling' => 'autosubmit']
        );
        $this->post([1 => ['answer' => 'frog']], "{$this->page}:0:1");
        $this->answer(1, ['answer' => 'toad']);
        $this->answer(2, ['answer' => '2']);
        $this->autosave([1 => ['answer' => 'toad'], 2 => ['answer' => '2']], $this->field());
        $this->answer(1, ['answer' => 'frog']);
        $this->answer(2, ['answer' => '-1'], ['status' => 0]);
        $this->let_time_run_out();
        $this->run_moodles();
        $this->run_queued();
        $this->assertSame('frog', $this->usage()->get_question_attempt(1)->get_last_qt_var('answer'));
        $this->assertEquals(1, $this->usage()->get_question_attempt(1)->get_mark());
        $this->assertSame('-1', $this->usage()->get_question_attempt(2)->get_last_qt_var('answer', '-1'));
    }

    /**
     * What was brought in late is brought in once, and what a teacher has graded since is left alone.
     */
    public function test_late_answers_touch_nothing_that_was_done_since(): void {
        $this->disappear(['overduehandling' => 'autosubmit']);
        $this->let_time_run_out();
        $this->run_moodles();
        $this->setAdminUser();
        $attempt = quiz_attempt::create($this->attempt->id);
        $usage = $attempt->get_question_usage();
        $usage->manual_grade(1, 'A comment', 0.5, FORMAT_HTML);
        \question_engine::save_questions_usage_by_activity($usage);
        $this->run_queued();
        $this->assertNull($this->usage()->get_question_attempt(1)->get_last_qt_var('answer'));
        $this->assertEquals(0.5, $this->usage()->get_question_attempt(1)->get_mark());
        $this->assertSame('toad', $this->usage()->get_question_attempt(2)->get_last_qt_var('answer'));

        $steps = $this->usage()->get_question_attempt(2)->get_num_steps();
        task\bring_in_late_answers::queue($attempt->get_attempt());
        $this->run_queued();
        $this->assertSame($steps, $this->usage()->get_question_attempt(2)->get_num_steps());
    }

    /**
     * Answers that arrive between submission and grading, two steps since Moodle 5.0, are graded.
     */
    public function test_answers_brought_in_before_the_grading_are_graded(): void {
        $this->disappear(['overduehandling' => 'autosubmit']);
        $this->let_time_run_out();
        $attempt = quiz_attempt::create($this->attempt->id);
        if (method_exists($attempt, 'process_submit')) {
            $attempt->process_submit(time(), false);
            $this->assertSame(quiz_attempt::SUBMITTED, quiz_attempt::create($this->attempt->id)->get_state());
        } else {
            $attempt->process_finish(time(), false);
        }
        $this->run_queued();
        if (method_exists($attempt, 'process_submit')) {
            quiz_attempt::create($this->attempt->id)->process_grade_submission(time());
        }
        $this->assertSame(quiz_attempt::FINISHED, quiz_attempt::create($this->attempt->id)->get_state());
        $this->assertEqualsWithDelta(2.8, quiz_attempt::create($this->attempt->id)->get_sum_marks(), 0.001);
        $this->assertTrue(closed::is_marked((int) $this->attempt->id));
    }

    /**
     * A student's own word is final: nothing is queued after it.
     */
    public function test_attempt_that_the_student_finished_is_left_alone(): void {
        $this->disappear([]);
        $this->post([1 => ['answer' => 'final']], null, true);
        $this->run_queued();
        $this->run_ours();
        $this->assertSame('final', $this->usage()->get_question_attempt(1)->get_last_qt_var('answer'));
    }

    /**
     * A state store that is down does not lose late answers: the task is run again.
     */
    public function test_late_answers_wait_for_the_state_store(): void {
        $this->disappear(['overduehandling' => 'autosubmit']);
        $this->let_time_run_out();
        $this->run_moodles();
        $this->stream->storeup = false;
        $task = \core\task\manager::get_next_adhoc_task($this->clock->time() + 1);
        try {
            $task->execute();
            $this->fail('The task must fail.');
        } catch (\RuntimeException $e) {
            $this->assertSame('The state store is down.', $e->getMessage());
        }
        \core\task\manager::adhoc_task_failed($task);
        $this->stream->storeup = true;
        $this->assertSame(1, count(\core\task\manager::get_adhoc_tasks(task\bring_in_late_answers::class)));
    }

    /**
     * A page that gives signs of life is not written under its hands.
     */
    public function test_attempt_with_a_living_page_is_left_alone(): void {
        $this->disappear([]);
        $this->clock->bump(50);
        $this->run_ours();
        $this->assertSame([], $this->response(1));
        $this->clock->bump(11);
        $this->assertStringContainsString('3 answers brought in', $this->run_ours());
        $this->assertSame(['answer' => 'frog'], $this->response(1));
        $this->assertSame($this->student->id, $this->usage()->get_question_attempt(1)->get_last_step()->get_user_id());
        // And each attempt is loaded once, until there is something new.
        $this->assertStringContainsString('0 answers brought in', $this->run_ours());
        $this->turn_page();
        $this->answer(1, ['answer' => 'frogs']);
        $this->clock->bump(61);
        $this->assertStringContainsString('1 answers brought in', $this->run_ours());
    }

    /**
     * While Moodle's own task is at work, ours waits for the next minute.
     */
    public function test_task_does_not_run_beside_moodles_own(): void {
        $this->disappear([]);
        $this->clock->bump(100);
        $name = '\mod_quiz\task\update_overdue_attempts';
        // A lock is its holder's process's own; another process holds it here.
        $factory = $this->createMock(\core\lock\lock_factory::class);
        $factory->method('get_lock')->with($name)->willReturn(false);
        $task = new class ($factory) extends fold_silent_attempts {
            /**
             * The constructor.
             *
             * @param \core\lock\lock_factory $factory
             */
            public function __construct(
                /** @var \core\lock\lock_factory where locks are had. */
                private \core\lock\lock_factory $factory,
            ) {
            }

            #[\Override]
            protected function locks(): \core\lock\lock_factory {
                return $this->factory;
            }
        };
        ob_start();
        $task->execute();
        $this->assertStringContainsString('Moodle is closing attempts', ob_get_clean());
        $this->assertSame([], $this->response(1));
    }

    /**
     * Without the extension the task says so.
     */
    public function test_task_says_that_the_extension_is_missing(): void {
        $this->stream->available = false;
        $this->assertStringContainsString('not loaded', $this->run_ours());
    }

    /**
     * Keys are renewed, marks are swept.
     */
    public function test_house_is_kept(): void {
        global $CFG;
        closed::mark(7);
        touch(local\door::closed_mark($CFG->dataroot, 7), time() - 3 * DAYSECS);
        (new keep_house())->execute();
        $this->assertFalse(closed::is_marked(7));
        $this->assertNotEmpty(local\door::read($CFG->dataroot)['keys']);
    }
}
