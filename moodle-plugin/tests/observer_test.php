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
use local_examstream\local\closed;
use local_examstream\local\page;
use local_examstream\local\resume;
use local_examstream\local\site;
use mod_quiz\quiz_attempt;

defined('MOODLE_INTERNAL') || die();

require_once(__DIR__ . '/fixtures/stream_testcase.php');

/**
 * What the server itself writes into the stream.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 * @covers \local_examstream\observer
 * @covers \local_examstream\local\reporter
 * @covers \local_examstream\local\saved_response
 * @covers \local_examstream\local\closed
 */
final class observer_test extends stream_testcase {
    /**
     * Options are shuffled for each attempt and posted as positions: the stream tells which option lies where.
     */
    public function test_a_started_attempt_tells_the_order_of_its_options(): void {
        $this->start([['shortanswer', 'frogtoad'], ['multichoice', 'one_of_four'], ['multichoice', 'two_of_four']]);
        [$record] = $this->stream->of_type('started');
        $usage = $this->usage();
        $this->assertSame([2, 3], array_keys($record['order']));
        foreach ($record['order'] as $slot => $ids) {
            $this->assertCount(4, $ids);
            $this->assertEquals($usage->get_question($slot)->get_order($usage->get_question_attempt($slot)), $ids);
        }
    }

    /**
     * Questions drawn at random share a slot: the stream tells which one this student has in it.
     */
    public function test_a_started_attempt_names_the_question_of_each_slot(): void {
        $this->start([['shortanswer', 'frogtoad'], ['truefalse', 'true']]);
        [$record] = $this->stream->of_type('started');
        $expected = [];
        foreach ($this->usage()->get_attempt_iterator() as $slot => $qa) {
            $expected[$slot] = (int) $qa->get_question_id();
        }
        $this->assertSame($expected, $record['questions']);
    }

    /**
     * A started attempt is in the stream with its questions.
     */
    public function test_start_is_streamed_with_its_questions(): void {
        $this->start([['shortanswer', 'frogtoad'], ['truefalse', 'true']]);
        [$record] = $this->stream->of_type('started');
        $this->assertSame((int) $this->attempt->id, $record['attempt']);
        $this->assertSame((int) $this->student->id, $record['student_id']);
        $expected = [];
        foreach ($this->usage()->get_attempt_iterator() as $slot => $qa) {
            $expected[$slot] = (int) $qa->get_database_id();
        }
        $this->assertSame($expected, $record['slots']);
        $this->assertArrayNotHasKey('preview', $record);
        $this->assertEqualsWithDelta(time(), $record['ts'], 10);
    }

    /**
     * A form post is a barrier for the page and counter that its hidden field names; its answers are known.
     */
    public function test_form_post_with_our_field_is_a_barrier_only(): void {
        $this->start([['shortanswer', 'frogtoad'], ['truefalse', 'true']]);
        $this->answer(1, ['answer' => 'frog']);
        $this->post([1 => ['answer' => 'frog']], $this->field());
        $this->assertCount(1, $this->stream->of_type('answer'));
        [$record] = $this->stream->of_type('saved');
        $this->assertSame([$this->page, 1], [$record['page'], $record['seq']]);
        $this->assertSame([1], array_keys($record['slots']));
    }

    /**
     * The field may say when the page's last edit was: what another device wrote after it stays newer.
     */
    public function test_barrier_is_as_old_as_the_last_edit_of_its_page(): void {
        $this->start([['shortanswer', 'frogtoad']]);
        $edit = round(site::now() - 30, 3);
        $this->post([1 => ['answer' => 'frog']], "{$this->page}:0:$edit");
        $this->assertSame($edit, $this->stream->of_type('saved')[0]['at']);
        $this->post([1 => ['answer' => 'frog']], "{$this->page}:0:" . (int) (site::now() + 1000));
        $this->assertLessThan(site::now() + 1, $this->stream->of_type('saved')[1]['at']);
    }

    /**
     * A page that was shown while the state store was down may lack answers. Posting it does not hide them.
     */
    public function test_form_of_a_page_shown_without_the_store_hides_no_answer(): void {
        $this->start([['shortanswer', 'frogtoad']]);
        $this->answer(1, ['answer' => 'frog']);
        foreach ([false, true] as $up) {
            $this->stream->storeup = $up;
            $log = ini_set('error_log', make_request_directory() . '/log');
            resume::attempt((int) $this->attempt->id);
            ini_set('error_log', $log);
            capture::viewed(quiz_attempt::create($this->attempt->id)->get_attempt());
            $config = capture::config(0);
            $this->post([1 => ['answer' => '']], "{$config['page']}.01234567:0:" . site::now());
            $at = $this->stream->of_type('saved')[(int) $up]['at'];
            $this->assertSame($up, $at > 0);
        }
    }

    /**
     * Values of the field that are not ours.
     *
     * @return array[]
     */
    public static function foreign_fields(): array {
        return ['none' => [null], 'empty' => [''], 'nonsense' => ['x:1'], 'no counter' => ['0005f0c3a1b2c3d4-01234567.01234567']];
    }

    /**
     * Without our field the answer is read from the usage.
     *
     * @param string|null $field
     * @dataProvider foreign_fields
     */
    public function test_form_post_without_our_field_is_read_from_the_usage(?string $field): void {
        $this->start([['shortanswer', 'frogtoad'], ['truefalse', 'true'], ['match', 'foursubq']]);
        $this->post([1 => ['answer' => 'frög'], 2 => ['answer' => '-1']], $field);
        [$record] = $this->stream->of_type('answer');
        $this->assertSame(1, $record['slot']);
        $this->assertSame(1, $record['status']);
        $this->assertSame('frög', $record['fields']['answer']);
        $this->assertSame([], $this->resume());
        // The page shows what was submitted; an answer to it is taken up.
        $this->turn_page();
        $this->answer(1, ['answer' => 'toad']);
        $this->assertSame([1], $this->resume());
    }

    /**
     * Moodle's autosave of a page with our script adds nothing.
     */
    public function test_autosave_with_our_field_adds_nothing(): void {
        $this->start([['shortanswer', 'frogtoad']]);
        $this->autosave([1 => ['answer' => 'frog']], $this->field());
        $this->assertSame(['started'], array_column($this->stream->records, 'type'));
    }

    /**
     * Moodle's autosave of any other page is in the stream, and can be restored from it.
     */
    public function test_autosave_without_our_field_is_streamed(): void {
        $this->start([['multichoice', 'two_of_four'], ['shortanswer', 'frogtoad']]);
        $response = ['choice0' => '1', 'choice1' => '0', 'choice2' => '1', 'choice3' => '0'];
        $this->autosave([1 => $response], null);
        [$record] = $this->stream->of_type('answer');
        $this->assertSame($response + [':sequencecheck' => '1'], $record['fields']);
        $this->assertSame([], $this->stream->of_type('saved'));

        $this->autosave([1 => ['choice0' => '0'] + $response], $this->field());
        $this->assertSame([1], $this->resume());
        $this->assertSame($response, $this->response(1));
    }

    /**
     * Files are Moodle's alone: its copy of such an answer stays.
     */
    public function test_autosave_of_a_question_with_files_is_streamed_behind_a_barrier(): void {
        $this->start([['essay', 'editorfilepicker', ['responseformat' => 'editorfilepicker', 'attachments' => 1]]]);
        $this->autosave([1 => [
            'answer' => '<p>x</p>', 'answerformat' => FORMAT_HTML, 'answer:itemid' => file_get_unused_draft_itemid(),
            'attachments' => file_get_unused_draft_itemid(),
        ]], null);
        [$record] = $this->stream->of_type('answer');
        $this->assertSame('<p>x</p>', $record['fields']['answer']);
        $this->assertArrayNotHasKey('attachments', $record['fields']);
        $this->assertCount(1, $this->stream->of_type('saved'));
        $this->assertSame([], $this->resume());
    }

    /**
     * The mobile app saves through the web service.
     */
    public function test_save_of_the_mobile_app_is_streamed(): void {
        $this->start([['shortanswer', 'frogtoad'], ['shortanswer', 'frogtoad']]);
        $data = [];
        foreach ($this->form([2 => ['answer' => 'app']]) as $name => $value) {
            $data[] = ['name' => $name, 'value' => $value];
        }
        $this->answer(1, ['answer' => 'elsewhere']);
        $_GET['sesskey'] = $_POST['sesskey'] = sesskey();
        $reply = \core_external\external_api::call_external_function(
            'mod_quiz_save_attempt',
            ['attemptid' => $this->attempt->id, 'data' => $data]
        );
        $this->assertFalse($reply['error'], json_encode($reply));
        $record = $this->stream->of_type('answer')[1];
        $this->assertSame([2, 'app'], [$record['slot'], $record['fields']['answer']]);
        // What the stream knew of the other question was restored before the app's save.
        $this->assertSame(['answer' => 'elsewhere'], $this->response(1));
        $this->assertCount(2, $this->stream->of_type('answer'));
    }

    /**
     * Answers that come only with the end of the attempt are in the stream before it.
     */
    public function test_finish_without_our_field_streams_the_last_answers(): void {
        $this->start([['shortanswer', 'frogtoad']]);
        $this->post([1 => ['answer' => 'frog']], null, true);
        $this->assertSame(['started', 'answer', 'finished'], array_column($this->stream->records, 'type'));
        $fields = $this->stream->of_type('answer')[0]['fields'];
        $this->assertSame('frog', $fields['answer']);
        $this->assertArrayNotHasKey('-finish', $fields);
        $this->assertTrue(closed::is_marked($this->attempt->id));
    }

    /**
     * An attempt that is over is closed, one that is opened again is open.
     */
    public function test_lifecycle_is_streamed_and_closes_the_door(): void {
        $this->start([['shortanswer', 'frogtoad']], ['timelimit' => 600, 'overduehandling' => 'graceperiod', 'graceperiod' => 60]);
        quiz_attempt::create($this->attempt->id)->process_going_overdue(time(), false);
        $this->assertTrue(closed::is_marked($this->attempt->id));
        quiz_attempt::create($this->attempt->id)->process_abandon(time(), false);
        $this->assertTrue(closed::is_marked($this->attempt->id));
        quiz_attempt::create($this->attempt->id)->process_reopen_abandoned(time());
        $this->assertFalse(closed::is_marked($this->attempt->id));
        $this->finish_attempt(quiz_attempt::create($this->attempt->id));
        $this->assertSame(
            ['started', 'overdue', 'abandoned', 'reopened', 'finished'],
            array_column($this->stream->records, 'type')
        );
    }

    /**
     * What is rolled back has not happened.
     */
    public function test_event_of_a_transaction_that_failed_is_not_streamed(): void {
        global $DB;
        $this->start([['shortanswer', 'frogtoad']]);
        $transaction = $DB->start_delegated_transaction();
        $this->finish_attempt(quiz_attempt::create($this->attempt->id));
        $this->assertFalse(closed::is_marked($this->attempt->id));
        try {
            $transaction->rollback(new \Exception('x'));
        } catch (\Exception $e) {
            $this->assertSame('x', $e->getMessage());
        }
        $this->assertSame(['started'], array_column($this->stream->records, 'type'));
        $this->assertFalse(closed::is_marked($this->attempt->id));
    }

    /**
     * A preview is marked as one, and closed by its review, the only event that follows its end.
     */
    public function test_preview_is_marked(): void {
        $this->start([['shortanswer', 'frogtoad']]);
        $this->stream->records = [];
        $this->setAdminUser();
        $quizobj = \mod_quiz\quiz_settings::create($this->quiz->id, get_admin()->id);
        $quizobj->preload_questions();
        $attempt = quiz_prepare_and_start_new_attempt($quizobj, 1, false);
        $this->assertTrue($this->stream->of_type('started')[0]['preview']);
        $attemptobj = quiz_attempt::create($attempt->id);
        $this->finish_attempt($attemptobj);
        $this->assertFalse(closed::is_marked($attempt->id));
        quiz_attempt::create($attempt->id)->fire_attempt_reviewed_event();
        quiz_attempt::create($attempt->id)->fire_attempt_reviewed_event();
        $this->assertTrue(closed::is_marked($attempt->id));
        $this->assertCount(1, $this->stream->of_type('finished'));
    }

    /**
     * A full spool and a missing extension do not stop a student.
     */
    public function test_quiz_goes_on_when_nothing_can_be_streamed(): void {
        $this->start([['shortanswer', 'frogtoad']]);
        $log = ini_set('error_log', make_request_directory() . '/log');
        $this->stream->room = 0;
        $this->post([1 => ['answer' => 'secret']], null);
        $logged = file_get_contents(ini_get('error_log'));
        ini_set('error_log', $log);
        $this->assertStringContainsString('attempt_updated failed', $logged);
        $this->assertStringNotContainsString('secret', $logged);
        $this->assertDebuggingNotCalled();
        $this->stream->available = false;
        $this->post([1 => ['answer' => 'frog']], null, true);
        $this->assertSame(quiz_attempt::FINISHED, quiz_attempt::create($this->attempt->id)->get_state());
        $this->assertTrue(closed::is_marked($this->attempt->id));
    }

    /**
     * A quiz that is excepted leaves no trace.
     */
    public function test_excepted_quiz_is_not_streamed(): void {
        set_config('quizdefault', 0, 'local_examstream');
        $this->start([['shortanswer', 'frogtoad']]);
        $this->post([1 => ['answer' => 'frog']], null, true);
        $this->assertSame([], $this->stream->records);
    }

    /**
     * Marks go when no token that they refuse can be alive.
     */
    public function test_marks_are_swept_when_no_token_needs_them(): void {
        global $CFG;
        closed::mark(5);
        closed::mark(261);
        touch(local\door::closed_mark($CFG->dataroot, 5), time() - 3 * DAYSECS);
        closed::sweep();
        $this->assertFalse(closed::is_marked(5));
        $this->assertTrue(closed::is_marked(261));
    }
}
