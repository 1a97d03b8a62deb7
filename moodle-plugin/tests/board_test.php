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

use core_external\external_api;
use local_examstream\external\get_board;
use local_examstream\external\get_board_students;
use local_examstream\local\board;
use local_examstream\local\board_feed;
use local_examstream\local\board_table;
use local_examstream\local\invigilator;
use local_examstream\local\presence;
use local_examstream\local\roster;
use local_examstream\local\site;
use local_examstream\local\time_limits;

defined('MOODLE_INTERNAL') || die();

require_once(__DIR__ . '/fixtures/stream_testcase.php');

/**
 * What invigilators see, and what they never see.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 * @covers    \local_examstream\external\get_board
 * @covers    \local_examstream\external\get_board_students
 * @covers    \local_examstream\external\invigilation
 * @covers    \local_examstream\local\board
 * @covers    \local_examstream\local\board_feed
 * @covers    \local_examstream\local\board_table
 * @covers    \local_examstream\local\invigilator
 * @covers    \local_examstream\local\presence
 * @covers    \local_examstream\local\roster
 * @covers    \local_examstream\local\time_limits
 */
final class board_test extends stream_testcase {
    /** Texts that would do harm if they were taken for anything but text. */
    private const HOSTILE = "<script>alert(1)</script> <b>x</b> \u{202e}rtl\u{202c} & \" ' {{#str}}help{{/str}} \$1 \\u0041";

    /**
     * A quiz of two questions, with a student in an attempt.
     *
     * @param array $settings of the quiz.
     */
    private function exam(array $settings = []): void {
        $this->start([['shortanswer', 'frogtoad'], ['truefalse', 'true']], $settings);
        $this->put_record($this->attempt, 'started', ['slots' => (object) ['1' => 1, '2' => 2]]);
    }

    /**
     * Somebody with a role in the course is logged in.
     *
     * @param string $role
     * @return \stdClass
     */
    private function log_in(string $role = 'editingteacher'): \stdClass {
        $user = $this->getDataGenerator()->create_and_enrol(get_course($this->quiz->course), $role);
        $this->setUser($user);
        return $user;
    }

    /**
     * A reply of the board's web service, as it is sent, and with its rows by attempt.
     *
     * @param int $since
     * @param bool $anew whether the store is asked, whoever has just asked it.
     * @return array
     */
    private function ask(int $since = 0, bool $anew = true): array {
        if (!$since && $anew) {
            \cache::make('local_examstream', 'board')->purge();
        }
        $reply = external_api::clean_returnvalue(get_board::execute_returns(), get_board::execute($this->quiz->cmid, $since));
        return ['sent' => $reply['rows'] . $reply['signals']]
            + ['rows' => array_column(json_decode($reply['rows'], true), null, 'attempt')] + $reply;
    }

    /**
     * A reply of the students' web service.
     *
     * @param int[] $ids
     * @return array
     */
    private function ask_names(array $ids = []): array {
        $reply = get_board_students::execute($this->quiz->cmid, $ids);
        return external_api::clean_returnvalue(get_board_students::execute_returns(), $reply);
    }

    /**
     * The rows of the download.
     *
     * @return array[]
     */
    private function download(): array {
        global $USER;
        $viewer = new invigilator($this->cm(), (int) $USER->id);
        $board = new board($viewer, new board_feed($this->stream));
        return iterator_to_array((new board_table(new roster($viewer), $board))->rows(), false);
    }

    /**
     * The board says whether, never what and never how well.
     */
    public function test_board_tells_answered_changed_flagged_and_nothing_of_the_answers(): void {
        $this->exam();
        $this->answer(1, ['answer' => 'frog'], ['fields' => [':sequencecheck' => '1', ':flagged' => '1', 'answer' => 'frog']]);
        $this->log_in();
        $row = $this->ask()['rows'][$this->attempt->id];
        $this->assertSame(['10', '10', 1, 2], [$row['word'], $row['flags'], $row['answered'], $row['slots']]);
        $this->assertSame((int) $this->student->id, $row['student']);
        $this->setUser($this->student);
        $this->answer(1, ['answer' => 'quokka']);
        $this->answer(2, ['answer' => '1']);
        $this->log_in();
        $reply = $this->ask();
        $this->assertSame(['21', '00'], [$reply['rows'][$this->attempt->id]['word'], $reply['rows'][$this->attempt->id]['flags']]);
        $this->assertDoesNotMatchRegularExpression('/quokka|frog|fields|correct|fraction|grade|mark|"s21"/', $reply['sent']);
        // What is told is what is said here, so that a new column of the store does not slip through.
        $this->assertSame(
            ['addresses', 'agents', 'answered', 'attempt', 'counts', 'edited', 'flags', 'help', 'sametime', 'seen', 'signals',
                'slots', 'state', 'statesince', 'student', 'word'],
            $this->sorted_keys($reply['rows'][$this->attempt->id])
        );
        $this->assertDoesNotMatchRegularExpression('/quokka|frog/', json_encode($this->download()));
    }

    /**
     * Keys in alphabetical order.
     *
     * @param array $row
     * @return string[]
     */
    private function sorted_keys(array $row): array {
        ksort($row);
        return array_keys($row);
    }

    /**
     * Only what has changed comes again.
     */
    public function test_a_version_is_told_what_changed_after_it(): void {
        $this->exam();
        // The real stream folds a record more than once, and may tell a row again.
        $this->stream->behind = null;
        [, $other] = $this->another_student();
        $this->put_record($other, 'started', ['slots' => (object) ['1' => 1, '2' => 2]]);
        $this->log_in();
        $reply = $this->ask();
        $this->assertEqualsCanonicalizing([$this->attempt->id, $other->id], array_keys($reply['rows']));
        $this->assertSame([], $this->ask($reply['version'])['rows']);
        $this->put_record($other, 'alive', ['counts' => ['hidden' => 2]]);
        \cache::make('local_examstream', 'board')->purge();
        $rows = $this->ask($reply['version'])['rows'];
        $this->assertSame([(int) $other->id], array_keys($rows));
        $this->assertSame(['hidden' => 2], $rows[$other->id]['counts']);
    }

    /**
     * However many look, the store is asked no more often; and nobody misses anything, wherever they stand.
     */
    public function test_the_store_is_read_once_for_all_who_look(): void {
        $this->exam();
        $this->stream->behind = null;
        $clock = $this->mock_clock_with_frozen();
        [, $other] = $this->another_student();
        $this->log_in();
        $say = function (\stdClass $attempt, int $n): void {
            $this->put_record($attempt, 'alive', ['counts' => ['hidden' => $n]]);
        };
        $start = $this->ask()['version'];
        $this->stream->looks = 0;
        $this->assertCount(2, $this->ask(0, false)['rows']);
        $this->assertSame(0, $this->stream->looks);
        $clock->bump(1);
        $say($this->attempt, 1);
        $versions = [];
        for ($i = 0; $i < 20; $i++) {
            $reply = $this->ask($start);
            $versions[] = $reply['version'];
            $this->assertSame(1, $reply['rows'][$this->attempt->id]['counts']['hidden']);
        }
        $this->assertSame(1, $this->stream->looks);
        $this->assertCount(1, array_unique($versions));
        $clock->bump(1);
        $say($other, 2);
        $this->assertSame([(int) $other->id], array_keys($this->ask($versions[0])['rows']));

        // Who comes with a version of which no step is kept is told by the store, and joins the others.
        $clock->bump(5);
        $say($this->attempt, 3);
        $late = $this->ask($start);
        $this->assertSame([3, 2], array_map(
            fn($attempt) => $late['rows'][$attempt->id]['counts']['hidden'],
            [$this->attempt, $other]
        ));
        $this->assertSame([(int) $this->attempt->id], array_keys($this->ask($late['version'])['rows']));

        // What happens meanwhile is told with the next step.
        $known = $this->ask($late['version'])['version'];
        $say($other, 4);
        $this->assertSame([], $this->ask($known)['rows']);
        $clock->bump(1);
        $this->assertSame(4, $this->ask($known)['rows'][$other->id]['counts']['hidden']);
        // Steps are not kept for ever: then the store answers.
        $clock->bump(60);
        $this->assertCount(2, $this->ask($start)['rows']);
    }

    /**
     * While one asks the store the others do not wait: they are told what is known, or to come again.
     */
    public function test_nobody_waits_for_another_ones_look(): void {
        global $CFG;
        $this->exam();
        $this->stream->behind = null;
        $clock = $this->mock_clock_with_frozen();
        $this->log_in();
        $known = $this->ask()['version'];
        $clock->bump(1);
        $this->put_record($this->attempt, 'alive', ['counts' => ['hidden' => 1]]);
        // A lock that holds within one process, too.
        $CFG->lock_factory = \core\lock\file_lock_factory::class;
        $lock = \core\lock\lock_config::get_lock_factory('local_examstream_board')->get_lock("quiz{$this->quiz->id}", 0);
        $looks = $this->stream->looks;
        [$friend, $stranger] = [$this->ask($known), $this->ask(999999)];
        $lock->release();
        $this->assertSame([$known, false], [$friend['version'], $friend['more']]);
        $this->assertSame([999999, true, []], [$stranger['version'], $stranger['more'], $stranger['rows']]);
        $this->assertSame($looks, $this->stream->looks);
        $this->assertCount(1, $this->ask($known)['rows']);
    }

    /**
     * A store that has forgotten everything says so.
     */
    public function test_a_version_of_the_future_begins_anew(): void {
        $this->exam();
        $this->log_in();
        $reply = $this->ask(1 << 50);
        $this->assertTrue($reply['reset']);
        $this->assertCount(1, $reply['rows']);
        $this->assertFalse($this->ask()['reset']);
    }

    /**
     * A teacher who tries the quiz is nobody to look after.
     */
    public function test_previews_are_left_out(): void {
        $this->exam();
        $teacher = $this->log_in();
        $mine = ['id' => $this->attempt->id + 1000, 'preview' => 1, 'userid' => $teacher->id];
        $preview = (object) ($mine + (array) $this->attempt);
        $this->put_record($preview, 'started', ['slots' => (object) ['1' => 1]]);
        $this->assertSame([(int) $this->attempt->id], array_keys($this->ask()['rows']));
        $this->assertNotContains(fullname($teacher), array_column($this->download(), 'name'));
    }

    /**
     * Two groups, a student in each, and one in none; a teacher of the first.
     *
     * @return array ids of the student who is seen and of those who are not, and their attempts.
     */
    private function two_groups(): array {
        $this->exam(['groupmode' => SEPARATEGROUPS]);
        $generator = $this->getDataGenerator();
        [$seen, $unseen] = [[$this->student, $this->attempt], [$this->another_student(), $this->another_student()]];
        $mine = $generator->create_group(['courseid' => $this->quiz->course]);
        $theirs = $generator->create_group(['courseid' => $this->quiz->course]);
        groups_add_member($mine, $seen[0]);
        groups_add_member($theirs, $unseen[0][0]);
        foreach ($unseen as [, $attempt]) {
            $this->put_record($attempt, 'started', ['slots' => (object) ['1' => 1]]);
        }
        $teacher = $this->log_in('teacher');
        groups_add_member($mine, $teacher);
        return [$seen, $unseen];
    }

    /**
     * No reply of any kind tells of a student outside the viewer's groups.
     */
    public function test_separate_groups_hold_in_every_reply(): void {
        [[$student, $attempt], $unseen] = $this->two_groups();
        foreach ($unseen as [$other, $otherattempt]) {
            $this->ask_for_help($otherattempt, 'I am not yours');
        }
        $pair = ['other_student' => (int) $unseen[0][0]->id, 'z' => 5.5];
        $this->put_record($attempt, 'signal', ['name' => 'similar', 'row' => $pair, 'revision' => 0]);

        $reply = $this->ask();
        $this->assertSame([(int) $attempt->id], array_keys($reply['rows']));
        $this->assertStringNotContainsString('I am not yours', $reply['sent']);
        // That there is a signal is told; its columns may name anybody.
        $this->assertSame(['similar'], array_keys($reply['rows'][$attempt->id]['signals']));
        $this->assertStringNotContainsString('other_student', $reply['sent']);

        $this->assertSame([(int) $student->id], array_column($this->ask_names()['students'], 'id'));
        $ids = array_map(fn($pair) => (int) $pair[0]->id, $unseen);
        $this->assertSame(['students' => [], 'colleagues' => []], $this->ask_names($ids));
        $this->assertSame([fullname($student)], array_column($this->download(), 'name'));

        // Who sees all groups sees all of it.
        $this->log_in('editingteacher');
        $this->assertCount(3, $this->ask()['rows']);
        $this->assertStringContainsString('other_student', $this->ask()['sent']);
        $this->assertCount(3, $this->ask_names()['students']);
        $this->assertCount(2, $this->ask_names($ids)['students']);
        $this->assertCount(3, $this->download());
    }

    /**
     * A signal that tells whether answers are right waits for the end of the attempt.
     */
    public function test_no_signal_tells_of_right_answers_during_the_attempt(): void {
        [[, $attempt]] = $this->two_groups();
        $this->log_in('editingteacher');
        $row = ['correct' => 12, 'afterwards' => true];
        $this->put_record($attempt, 'signal', ['name' => 'fast_and_correct', 'row' => $row, 'revision' => 0]);
        $this->put_record($attempt, 'signal', ['name' => 'gone', 'row' => ['silent_s' => 70], 'revision' => 0]);
        $before = ['at' => site::now() - 600, 'ts' => site::now() - 600];
        $this->put_record($attempt, 'signal', ['name' => 'stuck', 'row' => ['stuck_s' => 700], 'revision' => 0] + $before);
        // What no longer holds is no longer told, and a rule that holds is told again each minute.
        $this->assertSame(['gone'], array_keys($this->ask()['rows'][$attempt->id]['signals']));
        $this->put_record($attempt, 'finished', []);
        $this->assertCount(3, $this->ask()['rows'][$attempt->id]['signals']);
    }

    /**
     * A signal about the whole quiz speaks of students of other groups, too.
     */
    public function test_signals_about_the_quiz_are_for_those_who_see_all_groups(): void {
        $this->two_groups();
        $this->stream->behind = null;
        $now = site::now();
        $this->stream->records[] = ['v' => 1, 'id' => 'q1', 'type' => 'signal', 'ts' => $now, 'at' => $now, 'site' => site::id(),
            'quiz' => (int) $this->quiz->id, 'name' => 'answers_per_minute', 'row' => ['n' => 3], 'revision' => 0];
        $this->assertSame('{}', $this->ask()['signals']);
        $this->log_in('editingteacher');
        $this->assertSame(3, json_decode($this->ask()['signals'], true)['answers_per_minute']['row']['n']);
    }

    /**
     * Separate groups and no group of one's own: nobody.
     */
    public function test_a_teacher_without_a_group_sees_nobody(): void {
        $this->two_groups();
        $this->log_in('teacher');
        $this->assertSame([], $this->ask()['rows']);
        $this->assertSame([], $this->ask_names()['students']);
        $this->assertSame([], $this->ask_names([(int) $this->student->id])['students']);
        $this->assertSame([], $this->download());
    }

    /**
     * Students do not look after each other.
     */
    public function test_students_may_not_look(): void {
        $this->exam();
        $this->setUser($this->student);
        $this->expectException(\required_capability_exception::class);
        get_board::execute($this->quiz->cmid);
    }

    /**
     * Nor do they ask for names.
     */
    public function test_students_may_not_ask_for_names(): void {
        $this->exam();
        $this->setUser($this->student);
        $this->expectException(\required_capability_exception::class);
        get_board_students::execute($this->quiz->cmid);
    }

    /**
     * The names of the site are not to be had here.
     */
    public function test_names_are_told_of_those_only_who_belong_to_the_quiz(): void {
        $this->exam();
        $stranger = $this->getDataGenerator()->create_user();
        $colleague = $this->log_in('teacher');
        $this->log_in();
        $reply = $this->ask_names([(int) $stranger->id, (int) $colleague->id, (int) $this->student->id]);
        $this->assertSame([(int) $this->student->id], array_column($reply['students'], 'id'));
        $this->assertSame([['id' => (int) $colleague->id, 'name' => fullname($colleague)]], $reply['colleagues']);

        // Whoever was enrolled when the attempt began is still shown by name.
        $instance = array_values(enrol_get_instances($this->quiz->course, true))[0];
        enrol_get_plugin($instance->enrol)->unenrol_user($instance, $this->student->id);
        $names = array_column($this->ask_names([(int) $this->student->id])['students'], 'name');
        $this->assertSame([fullname($this->student)], $names);
    }

    /**
     * Identity fields are for those who may see them.
     */
    public function test_identity_is_told_to_those_who_may_see_it(): void {
        global $DB;
        set_config('showuseridentity', 'idnumber,email');
        $this->exam();
        $this->log_in();
        $this->assertContains($this->student->email, $this->ask_names()['students'][0]['identity']);
        $this->assertSame($this->student->email, $this->download()[0]['email']);
        $role = $DB->get_field('role', 'id', ['shortname' => 'editingteacher']);
        role_change_permission($role, $this->cm()->context, 'moodle/site:viewuseridentity', CAP_PREVENT);
        $this->assertSame([], $this->ask_names()['students'][0]['identity']);
        $this->assertStringNotContainsString($this->student->email, json_encode($this->download()));
    }

    /**
     * Who has not begun is on the board by name.
     */
    public function test_students_who_have_not_begun_are_there(): void {
        $this->exam();
        $late = $this->getDataGenerator()->create_and_enrol(get_course($this->quiz->course), 'student');
        $this->log_in();
        $this->assertContains((int) $late->id, array_column($this->ask_names()['students'], 'id'));
        $statuses = array_column($this->download(), 'status', 'name');
        $this->assertSame('Not started', $statuses[fullname($late)]);
        $this->assertSame('Here', $statuses[fullname($this->student)]);
    }

    /**
     * Looking costs the same few queries however many look and are looked at, none of them of a table of the quiz.
     */
    public function test_looking_asks_no_table_of_the_quiz(): void {
        global $DB;
        $this->two_groups();
        $this->ask();
        $reads = [];
        foreach ([0, 3] as $more) {
            for ($i = 0; $i < $more; $i++) {
                [, $attempt] = $this->another_student();
                $this->put_record($attempt, 'started', ['slots' => (object) ['1' => 1]]);
            }
            if ($more) {
                $teacher = $this->log_in('teacher');
                groups_add_member(array_key_first(groups_get_all_groups($this->quiz->course)), $teacher);
            }
            $this->ask();
            $before = $DB->perf_get_reads();
            ob_start();
            $DB->set_debug(true);
            $this->ask();
            $DB->set_debug(false);
            $queries = ob_get_clean();
            $reads[] = $DB->perf_get_reads() - $before;
            $this->assertStringContainsString($DB->get_prefix() . 'groups_members', $queries);
            $this->assertDoesNotMatchRegularExpression("/\\b{$DB->get_prefix()}(quiz|question)/", $queries);
        }
        $this->assertSame($reads[0], $reads[1]);
        $this->assertLessThanOrEqual(8, $reads[0]);
    }

    /**
     * What a student writes stays what it is, however long.
     */
    public function test_texts_of_students_come_as_they_are(): void {
        $this->exam();
        $text = \core_text::substr(self::HOSTILE . str_repeat("\u{0645}<i>", 4000), 0, 10000);
        $call = $this->ask_for_help($this->attempt, $text);
        $this->log_in();
        $this->assertSame($text, $this->ask()['rows'][$this->attempt->id]['help'][$call]['asked']['text']);
    }

    /**
     * Without the store there is a sentence.
     */
    public function test_an_unreachable_store_is_told(): void {
        $this->exam();
        $this->log_in();
        $this->stream->storeup = false;
        $log = ini_set('error_log', make_request_directory() . '/log');
        try {
            $this->ask();
            $this->fail('It was asked.');
        } catch (\moodle_exception $e) {
            $this->assertSame('board_storedown', $e->errorcode);
        } finally {
            ini_set('error_log', $log);
        }
    }

    /**
     * Silence is measured in signs of life.
     */
    public function test_a_student_is_gone_after_two_missed_signs_of_life(): void {
        set_config('aliveseconds', 10, 'local_examstream');
        $row = ['state' => 'started', 'seen' => 1000.0];
        $this->assertSame('here', presence::of($row, 1011.0));
        $this->assertSame('away', presence::of($row, 1013.0));
        $this->assertSame('gone', presence::of($row, 1023.0));
        $this->assertSame('finished', presence::of(['state' => 'finished'] + $row, 2000.0));
        $this->assertSame('here', presence::of(['state' => 'reopened'] + $row, 1001.0));
        $this->assertSame('notstarted', presence::of(null, 1001.0));
    }

    /**
     * The time that is left is that of the student, as core reckons it.
     */
    public function test_times_are_those_that_core_enforces(): void {
        global $DB;
        $this->exam(['timeclose' => 2000000000, 'timelimit' => 600]);
        $generator = $this->getDataGenerator();
        $students = [$this->student];
        for ($i = 0; $i < 4; $i++) {
            $students[] = $generator->create_and_enrol(get_course($this->quiz->course), 'student');
        }
        $groups = [];
        foreach ([['timelimit' => 900], ['timelimit' => 0, 'timeclose' => 2000000100], ['timeclose' => 2000000200]] as $override) {
            $groups[] = $group = $generator->create_group(['courseid' => $this->quiz->course]);
            $DB->insert_record('quiz_overrides', $override + ['quiz' => $this->quiz->id, 'groupid' => $group->id]);
        }
        foreach ([1 => [0], 2 => [0, 1], 3 => [1, 2], 4 => [0]] as $student => $in) {
            foreach ($in as $group) {
                groups_add_member($groups[$group], $students[$student]);
            }
        }
        $DB->insert_record('quiz_overrides', ['quiz' => $this->quiz->id, 'userid' => $students[4]->id, 'timelimit' => 1200]);
        $times = new time_limits($this->cm());
        foreach ($students as $student) {
            $core = quiz_update_effective_access($DB->get_record('quiz', ['id' => $this->quiz->id]), $student->id);
            $this->assertSame([(int) $core->timeclose, (int) $core->timelimit], $times->of((int) $student->id));
        }
        $this->log_in();
        $told = array_column($this->ask_names()['students'], 'limit', 'id');
        $this->assertSame([600, 900, 0, 0, 1200], array_map(fn($student) => $told[$student->id], $students));
    }

    /**
     * The download says what the board shows, in words.
     */
    public function test_download_says_what_the_board_shows(): void {
        $this->exam();
        $this->answer(1, ['answer' => 'frog']);
        $this->ask_for_help($this->attempt, 'May I go out?');
        $this->put_record($this->attempt, 'alive', ['counts' => ['hidden' => 3]]);
        $this->log_in();
        [$row] = $this->download();
        $this->assertSame(['answered', 'not answered', 1, 2], [$row['slot1'], $row['slot2'], $row['answered'], $row['slots']]);
        $this->assertSame('hidden: 3', $row['signals']);
        $this->assertStringContainsString('Waiting', $row['help']);
    }

    /**
     * Who looked is in the log.
     */
    public function test_looking_is_logged(): void {
        $this->exam();
        $this->log_in();
        $context = $this->cm()->context;
        $sink = $this->redirectEvents();
        event\board_viewed::create_strict($context)->trigger();
        event\board_downloaded::create_strict($context)->trigger();
        event\story_viewed::create_strict($context, $this->attempt)->trigger();
        $events = $sink->get_events();
        $this->assertCount(3, $events);
        foreach ($events as $event) {
            $this->assertEventContextNotUsed($event);
            $this->assertSame($context, $event->get_context());
            $this->assertStringContainsString('local/examstream', $event->get_url()->out_as_local_url());
            $this->assertStringContainsString("'{$context->instanceid}'", $event->get_description());
        }
        $this->assertEquals($this->student->id, $events[2]->relateduserid);
    }
}
