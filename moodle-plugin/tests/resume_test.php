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
use local_examstream\local\site;

defined('MOODLE_INTERNAL') || die();

global $CFG;
require_once($CFG->dirroot . '/question/type/numerical/questiontype.php');
require_once(__DIR__ . '/fixtures/stream_testcase.php');

/**
 * Answers come back from the stream.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 * @covers \local_examstream\local\resume
 */
final class resume_test extends stream_testcase {
    /** A text with what is lost on the way most easily. */
    private const TEXT = "  Grüße, <b>x</b> &amp; \"y\" \\n 'z'\r\n\u{1F9EE} \u{202E}√2 ≠ 1.5\u{00A0}\n";

    /**
     * Question types, each with a response of its own or, if there is none, its correct one.
     *
     * @return array[]
     */
    public static function qtypes(): array {
        return [
            'true/false' => ['truefalse', 'true', ['answer' => '0']],
            'multiple choice, one' => ['multichoice', 'one_of_four', ['answer' => '2']],
            'multiple choice, several' => [
                'multichoice', 'two_of_four', ['choice0' => '1', 'choice1' => '0', 'choice2' => '1', 'choice3' => '0'],
            ],
            'numerical' => ['numerical', 'pi', ['answer' => '3,14 ']],
            'numerical, with a menu of units' => [
                'numerical', 'pi', ['answer' => '3.14', 'unit' => '100'], self::units(\qtype_numerical::UNITSELECT),
            ],
            'numerical, units as buttons' => [
                'numerical', 'pi', ['answer' => '', 'unit' => '1'], self::units(\qtype_numerical::UNITRADIO),
            ],
            'numerical, unit typed' => ['numerical', 'pi', ['answer' => '314 cm'], self::units(\qtype_numerical::UNITINPUT)],
            'short answer' => ['shortanswer', 'frogtoad', ['answer' => ' Kröte <&> ']],
            'matching' => ['match', 'foursubq', ['sub0' => '1', 'sub1' => '3', 'sub2' => '0']],
            'essay, plain' => ['essay', 'plain', ['answer' => self::TEXT, 'answerformat' => FORMAT_PLAIN]],
            'essay, editor' => ['essay', 'editor', ['answer' => '<p>' . self::TEXT . '</p>', 'answerformat' => FORMAT_HTML]],
            'essay, monospaced' => [
                'essay', 'plain', ['answer' => "\tif (a < b) {\n\t}\0\x01\n", 'answerformat' => FORMAT_PLAIN],
                ['responseformat' => 'monospaced'],
            ],
            'drag words' => ['ddwtos', 'fox', null],
            'select words' => ['gapselect', 'missingchoiceno', null],
            'ordering' => ['ordering', 'moodle', null],
            'cloze' => ['multianswer', 'twosubq', ['sub1_answer' => self::TEXT, 'sub2_answer' => '1']],
            'cloze, buttons and boxes' => [
                'multianswer', 'twosubq', [
                    'sub1_answer' => '1', 'sub2_choice0' => '1', 'sub2_choice1' => '0', 'sub2_choice2' => '1',
                    'sub3_answer' => '3.1',
                ],
                ['questiontext' => [
                    'text' => '{1:MULTICHOICE_V:=A~B} {1:MULTIRESPONSE:=A~=B~C} {1:NUMERICAL:=3:0.1}', 'format' => FORMAT_HTML,
                ]],
            ],
            'calculated' => ['calculated', 'mult', ['answer' => '12.5']],
            'calculated, simple' => ['calculatedsimple', 'sumwithvariants', ['answer' => '12.5']],
            'calculated, one choice' => ['calculatedmulti', 'one', ['answer' => '1']],
            'calculated, several choices' => ['calculatedmulti', 'several', ['choice0' => '1', 'choice1' => '0', 'choice2' => '1']],
            'random short answers to match' => ['randomsamatch', 'any', ['sub0' => '2', 'sub1' => '1']],
            'drag onto image' => ['ddimageortext', 'xsection', null],
            'drag markers' => ['ddmarker', 'mkmap', null],
        ];
    }

    /**
     * What comes back is what Moodle's own autosave would have stored, in one step, and only once.
     *
     * @param string $qtype
     * @param string $which
     * @param array|null $response
     * @param array $overrides of the question.
     * @dataProvider qtypes
     */
    public function test_answer_is_restored_byte_for_byte(
        string $qtype,
        string $which,
        ?array $response,
        array $overrides = []
    ): void {
        $this->start([[$qtype, $which, $overrides]]);
        $response ??= $this->usage()->get_question_attempt(1)->get_correct_response();
        $this->assertNotEmpty($response);
        $this->answer(1, $response);

        $stock = $this->usage();
        $stock->process_all_autosaves(time(), $this->form([1 => $response]));
        $expected = $stock->get_question_attempt(1)->get_last_step()->get_submitted_data();

        $this->assertSame([1], $this->resume());
        $this->assertSame(array_map(strval(...), $expected), $this->response(1));
        $this->assertSame(array_keys($response), array_keys($expected));

        $steps = $this->usage()->get_question_attempt(1)->get_num_steps();
        $this->assertSame([], $this->resume());
        $this->assertSame($steps, $this->usage()->get_question_attempt(1)->get_num_steps());

        // Moodle's autosave of what the restored page shows changes nothing, either.
        $this->autosave([1 => $response], $this->field());
        $this->assertSame(array_map(strval(...), $expected), $this->response(1));
        $this->assertSame($steps, $this->usage()->get_question_attempt(1)->get_num_steps());
    }

    /**
     * What makes a numerical question ask for units.
     *
     * @param int $display how they are asked for.
     * @return array
     */
    private static function units(int $display): array {
        return [
            'unit' => ['m', 'cm'], 'multiplier' => ['1', '100'], 'nounits' => 2, 'unitsleft' => 0,
            'unitrole' => \qtype_numerical::UNITGRADED, 'unitpenalty' => 0.1, 'multichoicedisplay' => $display,
            'unitgradingtypes' => \qtype_numerical::UNITGRADEDOUTOFMARK,
        ];
    }

    /**
     * Behaviours, and what a response has in them besides the answer.
     *
     * @return array[]
     */
    public static function behaviours(): array {
        return [
            'deferred' => ['deferredfeedback', []],
            'deferred with certainty' => ['deferredcbm', ['-certainty' => '2']],
            'immediate' => ['immediatefeedback', []],
            'immediate with certainty' => ['immediatecbm', ['-certainty' => '3']],
            'interactive' => ['interactive', []],
            'adaptive' => ['adaptive', []],
            'adaptive without penalties' => ['adaptivenopenalty', []],
        ];
    }

    /**
     * A behaviour's own part of the response comes back, and it can be graded.
     *
     * @param string $behaviour
     * @param array $vars
     * @dataProvider behaviours
     */
    public function test_answer_is_restored_in_each_behaviour(string $behaviour, array $vars): void {
        $this->start([['shortanswer', 'frogtoad']], ['preferredbehaviour' => $behaviour]);
        // A pressed button is no part of a response: stored, it would be pressed again.
        $this->answer(1, $vars + ['answer' => 'frog', '-submit' => '1']);
        $this->assertSame([1], $this->resume());
        $this->assertEqualsCanonicalizing($vars + ['answer' => 'frog'], $this->response(1));

        $this->post([], $this->field(), true);
        $this->assertEquals(1.0, $this->usage()->get_question_attempt(1)->get_fraction() > 0.99);
    }

    /**
     * After a checked answer the next one is brought back where the behaviour allows one; a graded question stays.
     */
    public function test_answer_after_a_check_is_restored_where_the_behaviour_allows_one(): void {
        foreach (['adaptive' => true, 'interactive' => true, 'immediatefeedback' => false] as $behaviour => $again) {
            $hints = [['text' => 'Try again', 'format' => FORMAT_HTML], ['text' => 'And again', 'format' => FORMAT_HTML]];
            $this->start([['shortanswer', 'frogtoad', ['hint' => $hints]]], ['preferredbehaviour' => $behaviour]);
            $this->post([1 => ['answer' => 'wrong', '-submit' => '1']], "{$this->page}:0:1");
            if ($behaviour === 'interactive') {
                $this->post([1 => ['-tryagain' => '1']], "{$this->page}:0:1");
            }
            $this->turn_page();
            $this->answer(1, ['answer' => 'frog']);
            $this->assertSame($again ? [1] : [], $this->resume(), $behaviour);
            $this->assertSame($again ? 'frog' : 'wrong', $this->usage()->get_question_attempt(1)->get_last_qt_var('answer'));
        }
    }

    /**
     * The log says whose answers were brought back, once, and not what they are.
     */
    public function test_restoring_is_logged(): void {
        $this->start([['shortanswer', 'frogtoad'], ['truefalse', 'true']]);
        $this->answer(1, ['answer' => 'toad']);
        $sink = $this->redirectEvents();
        $this->resume();
        $this->resume();
        $events = array_filter($sink->get_events(), fn($event) => $event instanceof event\answers_restored);
        $this->assertCount(1, $events);
        $event = reset($events);
        $this->assertEquals([$this->attempt->id, $this->student->id], [$event->objectid, $event->relateduserid]);
        $this->assertSame([1], $event->other['slots']);
        $this->assertEquals(\context_module::instance($this->quiz->cmid), $event->get_context());
        $this->assertStringContainsString('slots 1 ', $event->get_description());
        $this->assertStringNotContainsString('toad', json_encode($event->get_data()) . $event->get_description());
        $this->assertNotEmpty($event->get_name());
        $this->assertNotEmpty($event->get_url());
    }

    /**
     * A choice that was cleared stays cleared, over what Moodle had autosaved.
     */
    public function test_cleared_choice_is_restored_as_cleared(): void {
        $this->start([['multichoice', 'one_of_four']]);
        $this->answer(1, ['answer' => '2']);
        $this->autosave([1 => ['answer' => '2']], $this->field());
        $this->answer(1, ['answer' => '-1'], ['status' => 0]);
        $this->resume();
        $response = $this->usage()->get_question_attempt(1)->get_last_qt_var('answer', '-1');
        $this->assertEquals('-1', $response);
    }

    /**
     * What was typed after Moodle's last autosave comes back over it, and its autosave goes on afterwards.
     */
    public function test_answer_after_an_autosave_wins_and_autosave_works_after_it(): void {
        $this->start([['shortanswer', 'frogtoad']]);
        $this->answer(1, ['answer' => 'fr']);
        $this->autosave([1 => ['answer' => 'fr']], $this->field());
        $this->answer(1, ['answer' => 'frog']);
        $this->assertSame([1], $this->resume());
        $this->assertSame(['answer' => 'frog'], $this->response(1));

        $this->autosave([1 => ['answer' => 'frogs']], $this->field());
        $this->assertSame(['answer' => 'frogs'], $this->response(1));
    }

    /**
     * A forgotten second tab autosaves what it was loaded with; the newer answer stays the newer one.
     */
    public function test_autosave_of_a_stale_tab_does_not_win(): void {
        $this->start([['shortanswer', 'frogtoad']]);
        $stale = page::mint(site::now() - 100) . '.0badcafe:3';
        $this->answer(1, ['answer' => 'new']);
        $this->autosave([1 => ['answer' => 'old']], $stale);
        $this->assertSame(['answer' => 'old'], $this->response(1));
        $this->assertSame([1], $this->resume());
        $this->assertSame(['answer' => 'new'], $this->response(1));
    }

    /**
     * X was submitted, Y typed and undone, X submitted again: an identical form does not raise the sequence, so that
     * only the barrier keeps Y out.
     */
    public function test_answer_undone_before_the_form_was_posted_does_not_come_back(): void {
        $this->start([['shortanswer', 'frogtoad']]);
        $this->post([1 => ['answer' => 'X']], $this->field());
        $this->turn_page();
        $this->answer(1, ['answer' => 'Y']);
        // The record of the undoing was lost with the connection, the form was not.
        $this->seq++;
        $this->post([1 => ['answer' => 'X']], $this->field());
        $this->assertSame([], $this->resume());
        $this->assertSame(['answer' => 'X'], $this->response(1));
    }

    /**
     * An answer to what the page showed before another page was submitted is not put over that.
     */
    public function test_answer_on_an_outdated_response_is_left_alone(): void {
        $this->start([['shortanswer', 'frogtoad']]);
        $outdated = $this->fields(1, ['answer' => 'old']);
        $other = page::mint(site::now() - 50) . '.00c0ffee:1:' . (site::now() - 50);
        $this->post([1 => ['answer' => 'submitted']], $other);
        $this->answer(1, [], ['fields' => $outdated]);
        $this->assertSame([], $this->resume());
        $this->assertSame(['answer' => 'submitted'], $this->response(1));
    }

    /**
     * A redone question has the sequence of a fresh one; the old answer is another question attempt's.
     */
    public function test_answer_does_not_come_back_into_a_redone_question(): void {
        $this->start([['shortanswer', 'frogtoad']], ['preferredbehaviour' => 'immediatefeedback', 'canredoquestions' => 1]);
        $this->answer(1, ['answer' => 'toad']);
        $this->post([1 => ['answer' => 'toad', '-submit' => '1']], page::mint(site::now() - 50) . '.00c0ffee:1:1.0');
        $attemptobj = \mod_quiz\quiz_attempt::create($this->attempt->id);
        $attemptobj->process_redo_question(1, time());
        $this->assertSame([], $this->resume());
        $this->assertSame([], $this->response(1));
    }

    /**
     * Flags bypass the engine's sequence check, so they are not brought back.
     */
    public function test_flag_is_not_restored(): void {
        $this->start([['shortanswer', 'frogtoad']]);
        $this->answer(1, ['answer' => 'frog', ':flagged' => '1']);
        $this->resume();
        $this->assertEquals(0, $this->usage()->get_question_attempt(1)->is_flagged());
    }

    /**
     * What makes a state that of somebody else's answers.
     *
     * @return array[]
     */
    public static function strangers(): array {
        return [
            'another student' => ['student_id', 1, null],
            'another usage' => ['usage', 1, null],
            'another quiz' => ['quiz', 1, null],
            'another question attempt' => ['qa', 1, null],
            'given before the attempt was started' => ['at', -1000000, null],
            'given in a slot that is not there' => ['slot', 1, null],
            'given on another site' => ['site', null, 'other'],
        ];
    }

    /**
     * Nobody's answers are restored but this attempt's own: ids are given out again after a database was restored.
     *
     * @param string $field
     * @param int|null $add
     * @param string|null $value
     * @dataProvider strangers
     */
    public function test_answers_of_a_stranger_are_not_restored(string $field, ?int $add, ?string $value): void {
        $this->start([['shortanswer', 'frogtoad']]);
        $this->answer(1, ['answer' => 'frog']);
        $this->stream->behind = null;
        foreach ($this->stream->records as $i => $record) {
            if (isset($record[$field])) {
                $this->stream->records[$i][$field] = $value ?? $record[$field] + $add;
            }
        }
        $this->assertSame([], $this->resume());
        $this->assertSame([], $this->response(1));
    }

    /**
     * Another student's request restores nothing in this attempt.
     */
    public function test_attempt_is_restored_for_its_owner_only(): void {
        $this->start([['shortanswer', 'frogtoad']]);
        $this->answer(1, ['answer' => 'frog']);
        $this->setAdminUser();
        $this->assertSame([], $this->resume());
    }

    /**
     * An attempt that Moodle prepared before the exam, as it does on request since 5.0, is one from its start on.
     */
    public function test_attempt_prepared_before_the_exam_is_restored_once_it_is_started(): void {
        global $DB;
        $this->start([['shortanswer', 'frogtoad']]);
        $student = $this->getDataGenerator()->create_and_enrol(get_course($this->quiz->course), 'student');
        $task = \mod_quiz\task\precreate_attempts::class;
        if (class_exists($task)) {
            $this->assertSame(1, $task::precreate_attempts_for_quiz($this->quiz->id, $this->quiz->course));
            $prepared = $DB->get_record('quiz_attempts', ['userid' => $student->id], '*', MUST_EXIST);
            $this->setUser($student);
            local\resume_request::for_page('/mod/quiz/view.php');
            $this->assertSame([], local\resume::attempt((int) $prepared->id));
            $this->assertNotContains((int) $prepared->id, array_column($this->stream->of_type('started'), 'attempt'));
        }
        $this->setUser($student);
        $quiz = \mod_quiz\quiz_settings::create($this->quiz->id, $student->id);
        $this->student = $student;
        $this->attempt = quiz_prepare_and_start_new_attempt($quiz, 1, false);
        $this->assertSame($prepared->id ?? $this->attempt->id, $this->attempt->id);
        $this->assertContains((int) $this->attempt->id, array_column($this->stream->of_type('started'), 'attempt'));
        $this->turn_page();
        $this->answer(1, ['answer' => 'frog']);
        $this->assertSame([1], $this->resume());
        $this->assertSame(['answer' => 'frog'], $this->response(1));
    }

    /**
     * A finished attempt stays as it was graded.
     */
    public function test_finished_attempt_is_left_alone(): void {
        $this->start([['shortanswer', 'frogtoad']]);
        $this->answer(1, ['answer' => 'frog']);
        $this->post([1 => ['answer' => 'toad']], null, true);
        $this->assertSame([], $this->resume());
    }

    /**
     * Without the store, the extension or the quiz's consent everything is as in stock Moodle.
     */
    public function test_nothing_is_restored_when_the_stream_is_not_there(): void {
        $this->start([['shortanswer', 'frogtoad']]);
        $this->answer(1, ['answer' => 'frog']);

        $log = ini_set('error_log', make_request_directory() . '/log');
        $this->stream->storeup = false;
        $this->assertSame([], $this->resume());
        $logged = file_get_contents(ini_get('error_log'));
        ini_set('error_log', $log);
        $this->assertStringContainsString('asking the state store failed', $logged);
        $this->assertStringNotContainsString('frog', $logged);

        $this->stream->storeup = true;
        $this->stream->available = false;
        $this->assertSame([], $this->resume());

        $this->stream->available = true;
        set_config('enabled', 0, 'local_examstream');
        $this->assertSame([], $this->resume());

        set_config('enabled', 1, 'local_examstream');
        $this->assertSame([1], $this->resume());
    }

    /**
     * If one answer cannot be restored, none of the attempt is, and the page goes on.
     */
    public function test_failure_leaves_the_attempt_as_it_was(): void {
        global $DB;
        $this->start([['shortanswer', 'frogtoad'], ['shortanswer', 'frogtoad']]);
        $this->answer(1, ['answer' => 'frog']);
        $this->answer(2, ['answer' => 'toad']);
        $this->stream->behind = null;
        $this->stream->records[array_key_last($this->stream->records)]['fields']['answer'] = ['no', 'string'];

        $log = ini_set('error_log', make_request_directory() . '/log');
        $this->assertSame([], $this->resume());
        $this->assertStringContainsString('restoring attempt', file_get_contents(ini_get('error_log')));
        ini_set('error_log', $log);
        $this->assertFalse($DB->is_transaction_started());
        $this->assertSame([], $this->response(1));
    }

    /**
     * A file that Moodle has autosaved stays, with the text typed after it.
     */
    public function test_attachment_stays_with_the_restored_text(): void {
        $this->start([['essay', 'editorfilepicker', ['attachments' => 1, 'responseformat' => 'editorfilepicker']]]);
        $response = $this->essay('first', $this->draft('a.txt'));
        $this->answer(1, $response);
        $this->autosave([1 => $response], $this->field());
        $this->assertSame(['a.txt'], $this->attached());

        $this->answer(1, ['answer' => '<p>second</p>'] + $response);
        $this->assertSame([1], $this->resume());
        $this->assertSame('<p>second</p>', $this->response(1)['answer']);
        $this->assertSame(['a.txt'], $this->attached());
    }

    /**
     * A file that was uploaded after Moodle's last autosave comes back from the student's draft area.
     */
    public function test_attachment_is_restored_from_its_draft_area(): void {
        $this->start([['essay', 'editorfilepicker', ['attachments' => 1, 'responseformat' => 'editorfilepicker']]]);
        $this->answer(1, $this->essay('first', $this->draft('a.txt')));
        $this->assertSame([1], $this->resume());
        $this->assertSame(['a.txt'], $this->attached());
    }

    /**
     * If the draft area is gone the slot is left alone: restoring would delete what Moodle has.
     */
    public function test_attachment_is_not_lost_when_its_draft_area_is_gone(): void {
        $this->start([['essay', 'editorfilepicker', ['attachments' => 1, 'responseformat' => 'editorfilepicker']]]);
        $response = $this->essay('first', $this->draft('a.txt'));
        $this->autosave([1 => $response], $this->field());
        $this->answer(1, ['answer' => '<p>second</p>'] + $response);
        $context = \context_user::instance($this->student->id);
        get_file_storage()->delete_area_files($context->id, 'user', 'draft', (int) $response['attachments']);
        $this->assertSame([], $this->resume());
        $this->assertSame(['a.txt'], $this->attached());
    }

    /**
     * What an essay's form posts.
     *
     * @param string $text
     * @param int $attachments draft area.
     * @return string[]
     */
    private function essay(string $text, int $attachments): array {
        return [
            'answer' => "<p>$text</p>",
            'answerformat' => FORMAT_HTML,
            'answer:itemid' => (string) file_get_unused_draft_itemid(),
            'attachments' => (string) $attachments,
        ];
    }

    /**
     * Uploads a file into a draft area of the student's.
     *
     * @param string $name
     * @return int
     */
    private function draft(string $name): int {
        $itemid = file_get_unused_draft_itemid();
        get_file_storage()->create_file_from_string([
            'contextid' => \context_user::instance($this->student->id)->id, 'component' => 'user', 'filearea' => 'draft',
            'itemid' => $itemid, 'filepath' => '/', 'filename' => $name,
        ], 'content');
        return $itemid;
    }

    /**
     * The names of the files that Moodle has with the response.
     *
     * @return string[]
     */
    private function attached(): array {
        $usage = $this->usage();
        $files = $usage->get_question_attempt(1)->get_last_qt_files('attachments', $usage->get_owning_context()->id);
        return array_values(array_map(fn($file) => $file->get_filename(), $files));
    }
}
