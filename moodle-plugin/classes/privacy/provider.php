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
use core_privacy\local\request\contextlist;
use core_privacy\local\request\userlist;
use core_privacy\local\request\writer;
use local_examstream\local\backend;
use local_examstream\local\erasures;
use local_examstream\local\resume;
use local_examstream\local\site;

/**
 * What is kept about whom.
 *
 * In Moodle's database: nothing about a person. Answers, calls for help and the signs that are switched on go to the
 * delivery stream and the state store. What the state store has of an attempt is exported with it. What is to be deleted is
 * told to the stream, see {@see erasures}: the state store forgets it within minutes, and where records are stored they are
 * erased by a program that runs there. The list of attempts, and a mark that an attempt takes nothing more, name the
 * attempt only.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
class provider implements
    \core_privacy\local\metadata\provider,
    \core_privacy\local\request\core_userlist_provider,
    \core_privacy\local\request\plugin\provider {
    #[\Override]
    public static function get_metadata(collection $collection): collection {
        $fields = [];
        foreach (['student_id', 'attempt', 'answers', 'help', 'times', 'signals'] as $field) {
            $fields[$field] = "privacy:metadata:$field";
        }
        $collection->add_external_location_link('firehose', $fields, 'privacy:metadata:firehose');
        $collection->add_external_location_link('statestore', $fields, 'privacy:metadata:statestore');
        return $collection;
    }

    #[\Override]
    public static function get_contexts_for_userid(int $userid): contextlist {
        $contexts = new contextlist();
        $contexts->add_from_sql(
            "SELECT DISTINCT ctx.id
               FROM {quiz_attempts} a
               JOIN {course_modules} cm ON cm.instance = a.quiz
               JOIN {modules} m ON m.id = cm.module AND m.name = 'quiz'
               JOIN {context} ctx ON ctx.instanceid = cm.id AND ctx.contextlevel = :level
              WHERE a.userid = :userid",
            ['level' => CONTEXT_MODULE, 'userid' => $userid]
        );
        return $contexts;
    }

    #[\Override]
    public static function get_users_in_context(userlist $userlist): void {
        $context = $userlist->get_context();
        if ($context instanceof \context_module) {
            $userlist->add_from_sql('userid', self::attempts_sql('a.userid'), ['cmid' => $context->instanceid]);
        }
    }

    #[\Override]
    public static function export_user_data(approved_contextlist $contextlist): void {
        global $DB;
        $backend = \core\di::get(backend::class);
        if (!$backend->is_available()) {
            return;
        }
        $userid = (int) $contextlist->get_user()->id;
        foreach ($contextlist->get_contexts() as $context) {
            if (!$context instanceof \context_module) {
                continue;
            }
            $attempts = $DB->get_records_sql(
                self::attempts_sql('a.*') . ' AND a.userid = :userid',
                ['cmid' => $context->instanceid, 'userid' => $userid]
            );
            foreach ($attempts as $attempt) {
                $state = $backend->state(site::id(), (int) $attempt->id);
                if ($state !== null && resume::belongs($state, $attempt)) {
                    writer::with_context($context)->export_data(
                        [get_string('pluginname', 'local_examstream'), (string) $attempt->attempt],
                        (object) $state
                    );
                }
            }
        }
    }

    #[\Override]
    public static function delete_data_for_all_users_in_context(\context $context): void {
        self::request_erasure($context, '', []);
    }

    #[\Override]
    public static function delete_data_for_user(approved_contextlist $contextlist): void {
        foreach ($contextlist->get_contexts() as $context) {
            self::request_erasure($context, 'AND a.userid = :userid', ['userid' => $contextlist->get_user()->id]);
        }
    }

    #[\Override]
    public static function delete_data_for_users(approved_userlist $userlist): void {
        global $DB;
        if ($userlist->get_userids()) {
            [$users, $params] = $DB->get_in_or_equal($userlist->get_userids(), SQL_PARAMS_NAMED);
            self::request_erasure($userlist->get_context(), "AND a.userid $users", $params);
        }
    }

    /**
     * Requests the erasure of attempts. Those that the quiz has deleted before we are asked are found without us.
     *
     * @param \context $context
     * @param string $and more of the condition
     * @param array $params
     */
    private static function request_erasure(\context $context, string $and, array $params): void {
        if ($context instanceof \context_module) {
            erasures::request('a.id IN (' . self::attempts_sql('a.id') . " $and)", ['cmid' => $context->instanceid] + $params);
        }
    }

    /**
     * The attempts of a quiz.
     *
     * @param string $fields
     * @return string
     */
    private static function attempts_sql(string $fields): string {
        return "SELECT $fields
                  FROM {quiz_attempts} a
                  JOIN {course_modules} cm ON cm.instance = a.quiz
                  JOIN {modules} m ON m.id = cm.module AND m.name = 'quiz'
                 WHERE cm.id = :cmid";
    }
}
