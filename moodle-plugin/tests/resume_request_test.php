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

use local_examstream\local\page;
use local_examstream\local\resume_request;
use local_examstream\local\site;
use mod_quiz\quiz_attempt;

defined('MOODLE_INTERNAL') || die();

require_once(__DIR__ . '/fixtures/stream_testcase.php');

/**
 * Each page that shows or closes an attempt restores it first.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 * @covers \local_examstream\local\resume_request
 * @covers \local_examstream\hook_callbacks
 */
final class resume_request_test extends stream_testcase {
    /**
     * A request comes in, up to the point where Moodle loads the attempt.
     *
     * @param string $script
     * @param array $params
     */
    private function open(string $script, array $params): void {
        global $SCRIPT;
        $before = $SCRIPT;
        $this->request($params);
        $SCRIPT = $script;
        hook_callbacks::after_config(new \core\hook\after_config());
        $SCRIPT = $before;
        $this->request([]);
    }

    /**
     * An attempt with an answer that only the stream has.
     *
     * @param array $settings of the quiz.
     */
    private function answered(array $settings = []): void {
        $this->start([['shortanswer', 'frogtoad'], ['shortanswer', 'frogtoad']], $settings);
        $this->answer(1, ['answer' => 'frog']);
        $this->answer(2, ['answer' => 'toad']);
    }

    /**
     * Pages that show or close an attempt.
     *
     * @return array[]
     */
    public static function pages(): array {
        return [
            'the attempt' => ['/mod/quiz/attempt.php', 'attempt'],
            'its summary' => ['/mod/quiz/summary.php', 'attempt'],
            'continuing' => ['/mod/quiz/startattempt.php', 'cmid'],
            'the quiz, by its module' => ['/mod/quiz/view.php', 'id'],
            'the quiz, by its id' => ['/mod/quiz/view.php', 'q'],
        ];
    }

    /**
     * The answers are there when the page loads the attempt.
     *
     * @param string $script
     * @param string $param
     * @dataProvider pages
     */
    public function test_page_restores_first(string $script, string $param): void {
        $this->answered();
        $ids = ['attempt' => $this->attempt->id, 'cmid' => $this->quiz->cmid, 'id' => $this->quiz->cmid, 'q' => $this->quiz->id];
        $this->open($script, [$param => $ids[$param]]);
        $this->assertSame(['answer' => 'frog'], $this->response(1));
        $this->assertSame(['answer' => 'toad'], $this->response(2));
    }

    /**
     * The page tells the script what was restored, once, also if a page before it has done it.
     *
     * @param string $script
     * @param string $param
     * @dataProvider pages
     */
    public function test_attempt_page_says_what_was_restored(string $script, string $param): void {
        $this->answered();
        $ids = ['attempt' => $this->attempt->id, 'cmid' => $this->quiz->cmid, 'id' => $this->quiz->cmid, 'q' => $this->quiz->id];
        $this->open($script, [$param => $ids[$param]]);
        local\capture::viewed($this->attempt);
        $this->assertSame([1, 2], local\capture::config(0)['restored']);
        $this->assertSame([], local\capture::config(0)['restored']);
    }

    /**
     * The page of the quiz closes an attempt whose time is over; the answers are graded.
     */
    public function test_view_page_closes_with_the_answers(): void {
        global $DB;
        $this->answered(['timelimit' => 300, 'overduehandling' => 'autosubmit']);
        $DB->set_field('quiz_attempts', 'timestart', time() - 300, ['id' => $this->attempt->id]);
        $this->open('/mod/quiz/view.php', ['id' => $this->quiz->cmid]);
        quiz_attempt::create($this->attempt->id)->handle_if_time_expired(time(), false);
        $this->assertEqualsWithDelta(1.8, quiz_attempt::create($this->attempt->id)->get_sum_marks(), 0.001);
    }

    /**
     * Posts the form of the first question and finishes.
     *
     * @param string $answer
     */
    private function finish(string $answer): void {
        $form = $this->form([1 => ['answer' => $answer]]);
        $this->open('/mod/quiz/processattempt.php', $form + ['attempt' => $this->attempt->id, 'finishattempt' => 1]);
        $this->request($form + ['local_examstream' => $this->field()]);
        quiz_attempt::create($this->attempt->id)->process_attempt(time(), true, false, 0);
    }

    /**
     * Finishing from one page brings in the others; what is posted is the student's own word.
     */
    public function test_finishing_brings_in_the_other_pages(): void {
        $this->answered();
        $this->finish('posted');
        $usage = $this->usage();
        $this->assertSame('posted', $usage->get_question_attempt(1)->get_last_qt_var('answer'));
        $this->assertSame('toad', $usage->get_question_attempt(2)->get_last_qt_var('answer'));
    }

    /**
     * What was undone before finishing stays undone, though the posted response is the one that Moodle had.
     */
    public function test_finishing_with_the_submitted_response_does_not_bring_in_the_undone_one(): void {
        $this->start([['shortanswer', 'frogtoad']]);
        $this->post([1 => ['answer' => 'X']], page::mint(site::now() - 50) . '.00c0ffee:1:1.0');
        $this->answer(1, ['answer' => 'Y']);
        $this->finish('X');
        $this->assertSame('X', $this->usage()->get_question_attempt(1)->get_last_qt_var('answer'));
    }

    /**
     * A laptop wakes up after the end: Moodle does not take its form, but what came in time is graded.
     */
    public function test_finishing_too_late_brings_in_what_came_in_time(): void {
        global $DB;
        $this->answered(['timelimit' => 300, 'overduehandling' => 'autosubmit']);
        $DB->set_field('quiz_attempts', 'timestart', time() - 1000, ['id' => $this->attempt->id]);
        $this->finish('too late');
        $usage = $this->usage();
        $this->assertSame('frog', $usage->get_question_attempt(1)->get_last_qt_var('answer'));
        $this->assertSame('toad', $usage->get_question_attempt(2)->get_last_qt_var('answer'));
    }

    /**
     * Going from page to page needs nothing.
     */
    public function test_next_page_restores_nothing_before_it_is_shown(): void {
        $this->answered();
        $this->open('/mod/quiz/processattempt.php', $this->form([1 => ['answer' => 'posted']]) + ['attempt' => $this->attempt->id]);
        $this->assertSame([], $this->response(2));
    }

    /**
     * Other pages, guests and strangers cause nothing.
     */
    public function test_other_requests_restore_nothing(): void {
        $this->answered();
        $this->open('/mod/quiz/review.php', ['attempt' => $this->attempt->id]);
        $this->open('/course/view.php', ['id' => $this->quiz->course]);
        foreach ([null, guest_user(), get_admin()] as $user) {
            $this->setUser($user);
            $this->open('/mod/quiz/attempt.php', ['attempt' => $this->attempt->id]);
            $this->open('/mod/quiz/view.php', ['q' => $this->quiz->id]);
        }
        $this->open('/mod/quiz/view.php', ['id' => 0]);
        $this->setUser($this->student);
        $this->assertSame([], $this->response(1));
    }

    /**
     * An error of ours does not stop the page.
     */
    public function test_page_goes_on_when_restoring_fails(): void {
        $this->answered();
        \core\di::set(local\backend::class, new \stdClass());
        $log = ini_set('error_log', make_request_directory() . '/log');
        $this->open('/mod/quiz/attempt.php', ['attempt' => $this->attempt->id]);
        $logged = file_get_contents(ini_get('error_log'));
        ini_set('error_log', $log);
        $this->assertStringContainsString('restoring the attempt failed', $logged);
    }

    /**
     * Functions of the web service that read or close an attempt.
     *
     * @return array[]
     */
    public static function functions(): array {
        return [
            ['mod_quiz_get_attempt_data', ['attemptid', 'page' => 0]],
            ['mod_quiz_get_attempt_summary', ['attemptid']],
            ['mod_quiz_process_attempt', ['attemptid', 'finishattempt' => true]],
            ['mod_quiz_get_attempt_access_information', ['quizid']],
        ];
    }

    /**
     * The app meets the answers too.
     *
     * @param string $function
     * @param array $params
     * @dataProvider functions
     */
    public function test_app_meets_the_restored_answers(string $function, array $params): void {
        $this->answered();
        $ids = ['attemptid' => $this->attempt->id, 'quizid' => $this->quiz->id];
        $args = [];
        foreach ($params as $name => $value) {
            $args += is_int($name) ? [$value => $ids[$value]] : [$name => $value];
        }
        $this->request([]);
        $_POST['sesskey'] = sesskey();
        $reply = \core_external\external_api::call_external_function($function, $args);
        $this->assertFalse($reply['error'], json_encode($reply));
        $this->assertSame('frog', $this->usage()->get_question_attempt(1)->get_last_qt_var('answer'));
    }
}
