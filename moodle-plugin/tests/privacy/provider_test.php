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
use local_examstream\local\erasures;
use local_examstream\local\site;
use local_examstream\stream_testcase;

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
     * What is listed for erasure.
     *
     * @return int[] attempts
     */
    private function listed(): array {
        $attempts = [];
        foreach (erasures::pending() as $erasure) {
            $this->assertSame(site::id(), $erasure->site);
            $attempts[] = (int) $erasure->attempt;
        }
        return $attempts;
    }

    /**
     * A request to delete a student's data lists the student's attempts, once, and no other's.
     */
    public function test_deletion_is_listed_for_the_operator(): void {
        $this->start([['shortanswer', 'frogtoad']]);
        $context = \context_module::instance($this->quiz->cmid);
        $attempt = (int) $this->attempt->id;
        $other = $this->getDataGenerator()->create_and_enrol(get_course($this->quiz->course), 'student');
        provider::delete_data_for_user(new approved_contextlist($other, 'local_examstream', [$context->id]));
        provider::delete_data_for_users(new approved_userlist($context, 'local_examstream', [$other->id]));
        $this->assertSame([], $this->listed());

        provider::delete_data_for_user(new approved_contextlist($this->student, 'local_examstream', [$context->id]));
        $this->assertSame([$attempt], $this->listed());
        provider::delete_data_for_users(new approved_userlist($context, 'local_examstream', [$this->student->id]));
        provider::delete_data_for_all_users_in_context($context);
        provider::delete_data_for_all_users_in_context(\context_system::instance());
        $this->assertSame([$attempt], $this->listed());
        erasures::done(site::id(), $attempt);
        $this->assertSame([], $this->listed());
    }

    /**
     * Whoever deletes an attempt, or a quiz with its attempts, has it listed.
     *
     * @covers \local_examstream\observer
     */
    public function test_deleted_attempts_are_listed(): void {
        global $DB;
        $this->start([['shortanswer', 'frogtoad']]);
        $this->setAdminUser();
        $quiz = $DB->get_record('quiz', ['id' => $this->quiz->id]);
        quiz_delete_attempt($DB->get_record('quiz_attempts', ['id' => $this->attempt->id]), $quiz);
        $this->assertSame([(int) $this->attempt->id], $this->listed());

        $this->start([['shortanswer', 'frogtoad']]);
        $this->setAdminUser();
        course_delete_module($this->quiz->cmid);
        $this->assertContains((int) $this->attempt->id, $this->listed());
    }
}
