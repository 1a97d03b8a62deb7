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

namespace local_examstream\privacy;

use core_privacy\local\metadata\collection;
use core_privacy\local\request\approved_contextlist;
use core_privacy\local\request\approved_userlist;
use core_privacy\local\request\userlist;
use core_privacy\local\request\writer;
use local_examstream\local\closed;
use local_examstream\local\site;
use local_examstream\stream_testcase;
use local_examstream\task\send_erasures;

defined('MOODLE_INTERNAL') || die();

require_once(__DIR__ . '/../fixtures/stream_testcase.php');

/**
 * What is said about students' data.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 * @covers \local_examstream\privacy\provider
 * @covers \local_examstream\local\erasures
 * @covers \local_examstream\task\send_erasures
 */
final class provider_test extends stream_testcase {
    /**
     * Both places where answers go are named.
     */
    public function test_external_locations_are_named(): void {
        $collection = provider::get_metadata(new collection('local_examstream'));
        $names = array_map(fn($type) => $type->get_name(), $collection->get_collection());
        $this->assertSame(['firehose', 'statestore'], $names);
        foreach ($collection->get_collection() as $type) {
            foreach ([$type->get_summary(), ...array_values($type->get_privacy_fields())] as $string) {
                $this->assertTrue(get_string_manager()->string_exists($string, 'local_examstream'), $string);
            }
        }
    }

    /**
     * A student's export has what the state store has of the student's attempt, and of nobody else's.
     */
    public function test_state_is_exported(): void {
        $this->start([['shortanswer', 'frogtoad']]);
        $this->answer(1, ['answer' => 'frog']);
        $context = \context_module::instance($this->quiz->cmid);
        $contexts = provider::get_contexts_for_userid((int) $this->student->id);
        $this->assertEquals([$context->id], $contexts->get_contextids());
        $users = new userlist($context, 'local_examstream');
        provider::get_users_in_context($users);
        $this->assertEquals([$this->student->id], $users->get_userids());

        $path = [get_string('pluginname', 'local_examstream'), '1'];
        $other = $this->getDataGenerator()->create_and_enrol(get_course($this->quiz->course), 'student');
        provider::export_user_data(new approved_contextlist($other, 'local_examstream', [$context->id]));
        $this->assertEmpty(writer::with_context($context)->get_data($path));
        provider::export_user_data(new approved_contextlist($this->student, 'local_examstream', [$context->id]));
        $this->assertSame('frog', writer::with_context($context)->get_data($path)->slots[1]['fields']['answer']);
    }

    /**
     * What the stream was told to erase, once the task has run.
     *
     * @return int[] attempts
     */
    private function told(): array {
        ob_start();
        (new send_erasures())->execute();
        ob_end_clean();
        $told = $this->stream->of_type('erased');
        foreach ($told as $record) {
            $this->assertSame(site::id(), $record['site']);
            $this->assertEqualsCanonicalizing(['v', 'id', 'type', 'ts', 'site', 'quiz', 'attempt'], array_keys($record));
        }
        return array_column($told, 'attempt');
    }

    /**
     * A request to delete a student's data erases the student's attempts from the stream, once, and no other's; nothing of
     * them is known afterwards, whatever comes late.
     */
    public function test_deleted_data_is_erased_from_the_stream(): void {
        $this->start([['shortanswer', 'frogtoad']]);
        $this->answer(1, ['answer' => 'frog']);
        $context = \context_module::instance($this->quiz->cmid);
        $attempt = (int) $this->attempt->id;
        $other = $this->getDataGenerator()->create_and_enrol(get_course($this->quiz->course), 'student');
        provider::delete_data_for_user(new approved_contextlist($other, 'local_examstream', [$context->id]));
        provider::delete_data_for_users(new approved_userlist($context, 'local_examstream', [$other->id]));
        $this->assertSame([], $this->told());
        $this->assertSame('frog', $this->stream->state(site::id(), $attempt)['slots'][1]['fields']['answer']);

        provider::delete_data_for_user(new approved_contextlist($this->student, 'local_examstream', [$context->id]));
        $this->assertSame([$attempt], $this->told());
        $this->assertSame([$attempt], $this->told());
        $this->assertNull($this->stream->state(site::id(), $attempt));
        $this->assertTrue(closed::is_marked($attempt));
        $this->put_record($this->attempt, 'alive', ['counts' => ['hidden' => 1]]);
        $this->assertNull($this->stream->state(site::id(), $attempt));

        provider::delete_data_for_users(new approved_userlist($context, 'local_examstream', [$this->student->id]));
        $this->assertSame([$attempt, $attempt], $this->told());
        provider::delete_data_for_all_users_in_context($context);
        provider::delete_data_for_all_users_in_context(\context_system::instance());
        $this->assertSame([$attempt, $attempt, $attempt], $this->told());
        $this->assertSame([], $this->stream->board(site::id(), (int) $this->quiz->id, 0)['rows']);
    }

    /**
     * Ways in which attempts go, most of which tell nobody.
     *
     * @return array[]
     */
    public static function ways_to_delete(): array {
        return [
            'a teacher deletes the attempt' => [function (\stdClass $quiz, \stdClass $attempt): void {
                quiz_delete_attempt($attempt, $quiz);
            }],
            'the quiz is deleted' => [fn(\stdClass $quiz) => self::delete_module($quiz)],
            'the course is deleted' => [fn(\stdClass $quiz) => delete_course($quiz->course, false)],
            'the course is reset' => [function (\stdClass $quiz): void {
                reset_course_userdata((object) ['id' => $quiz->course, 'reset_quiz_attempts' => 1]);
            }],
            'the quiz deletes the data of the user before we are asked' => [function (\stdClass $quiz, \stdClass $attempt): void {
                $user = \core_user::get_user($attempt->userid);
                $context = \context_module::instance($quiz->cmid);
                \mod_quiz\privacy\provider::delete_data_for_user(new approved_contextlist($user, 'mod_quiz', [$context->id]));
                provider::delete_data_for_user(new approved_contextlist($user, 'local_examstream', [$context->id]));
            }],
        ];
    }

    /**
     * However an attempt is deleted, the stream is told.
     *
     * @dataProvider ways_to_delete
     * @covers \local_examstream\observer
     * @param \Closure $delete
     */
    public function test_whatever_is_deleted_is_erased(\Closure $delete): void {
        global $CFG, $DB;
        require_once($CFG->dirroot . '/course/lib.php');
        require_once($CFG->libdir . '/moodlelib.php');
        require_once($CFG->dirroot . '/mod/quiz/locallib.php');
        $this->start([['shortanswer', 'frogtoad']]);
        $this->setAdminUser();
        $this->assertSame([], $this->told());
        $quiz = $DB->get_record('quiz', ['id' => $this->quiz->id]);
        $quiz->cmid = $this->quiz->cmid;
        $delete($quiz, $DB->get_record('quiz_attempts', ['id' => $this->attempt->id]));
        $this->assertFalse($DB->record_exists('quiz_attempts', ['id' => $this->attempt->id]));
        $this->assertSame([(int) $this->attempt->id], $this->told());
        $this->assertSame([(int) $this->attempt->id], $this->told());
    }

    /**
     * What the spool does not take, and what nobody can take, is told later; what was deleted in a transaction that failed
     * is not told.
     */
    public function test_no_erasure_is_forgotten_and_none_is_invented(): void {
        global $DB;
        $this->start([['shortanswer', 'frogtoad']]);
        [, $second] = $this->another_student();
        $attempts = [(int) $this->attempt->id, (int) $second->id];
        $this->setAdminUser();
        $this->stream->available = false;
        provider::delete_data_for_all_users_in_context(\context_module::instance($this->quiz->cmid));
        $this->assertSame([], $this->told());
        $this->stream->available = true;
        $this->stream->room = 1;
        $this->assertSame([$attempts[0]], $this->told());
        $this->stream->room = 5;
        $this->assertSame($attempts, $this->told());

        [, $third] = $this->another_student();
        $this->setAdminUser();
        $transaction = $DB->start_delegated_transaction();
        $quiz = $DB->get_record('quiz', ['id' => $third->quiz]);
        quiz_delete_attempt($DB->get_record('quiz_attempts', ['id' => $third->id]), $quiz);
        try {
            $transaction->rollback(new \RuntimeException('No.'));
        } catch (\RuntimeException $e) {
            $this->assertSame('No.', $e->getMessage());
        }
        $this->assertSame($attempts, $this->told());
    }

    /**
     * A copy of the site, under another id, erases nothing of the original's.
     */
    public function test_a_copy_of_the_site_erases_nothing_of_the_original(): void {
        $this->start([['shortanswer', 'frogtoad']]);
        set_config('siteid', 'anothersite', 'local_examstream');
        $this->setAdminUser();
        self::delete_module($this->quiz);
        $this->assertSame([], $this->told());
    }
}
