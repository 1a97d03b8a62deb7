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

namespace local_examstream\local;

/**
 * The students of a quiz by name, as one invigilator may see them.
 *
 * Asked once, and again for students who come later, never with each look at the board.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class roster {
    /** Users who can be asked for at once. */
    public const MAX_IDS = 500;

    /**
     * The constructor.
     *
     * @param invigilator $viewer
     */
    public function __construct(
        /** @var invigilator who looks. */
        private readonly invigilator $viewer,
    ) {
    }

    /**
     * The fields by which students are told apart, besides their names.
     *
     * @return string[] field => heading
     */
    public function identity_headings(): array {
        $headings = [];
        foreach (\core_user\fields::get_identity_fields($this->viewer->context) as $field) {
            $headings[$field] = \core_user\fields::get_display_name($field);
        }
        return $headings;
    }

    /**
     * Students.
     *
     * @param int[]|null $ids those who have, or may have, an attempt; null: everybody who may take the quiz.
     * @return array[] user id => id, name, identity, groups, close and limit (0: none)
     */
    public function students(?array $ids = null): array {
        global $DB;
        $context = $this->viewer->context;
        $fields = \core_user\fields::for_identity($context)->with_name()->get_sql('u', true);
        if ($ids === null) {
            $enrolled = get_enrolled_with_capabilities_join($context, '', 'mod/quiz:attempt', $this->viewer->groups ?? 0, true);
            if ($enrolled->cannotmatchanyrows || $this->viewer->groups === []) {
                return [];
            }
            [$joins, $where, $params] = [$enrolled->joins, $enrolled->wheres, $enrolled->params];
        } else {
            $ids = array_values($this->viewer->sees(array_slice($ids, 0, self::MAX_IDS)));
            if (!$ids) {
                return [];
            }
            // A name is told of those only who belong here: they may take the quiz, or could when they began.
            [$in, $params] = $DB->get_in_or_equal($ids, SQL_PARAMS_NAMED);
            [$enrolled, $more] = get_enrolled_sql($context, 'mod/quiz:attempt');
            $joins = '';
            $where = "u.deleted = 0 AND u.id $in AND (u.id IN ($enrolled)
                OR EXISTS (SELECT 1 FROM {quiz_attempts} a WHERE a.userid = u.id AND a.quiz = :quiz AND a.preview = 0))";
            $params += $more + ['quiz' => $this->viewer->cm->instance];
        }
        $users = $DB->get_records_sql(
            "SELECT DISTINCT u.id $fields->selects FROM {user} u $fields->joins $joins WHERE $where",
            $fields->params + $params
        );
        return $this->complete($users);
    }

    /**
     * Those of some users who answer calls for help, by name.
     *
     * @param int[] $ids
     * @return string[] user id => name
     */
    public function colleagues(array $ids): array {
        global $DB;
        if (!$ids) {
            return [];
        }
        [$in, $params] = $DB->get_in_or_equal(array_slice($ids, 0, self::MAX_IDS), SQL_PARAMS_NAMED);
        $join = get_with_capability_join($this->viewer->context, 'local/examstream:answerhelp', 'u.id');
        if ($join->cannotmatchanyrows) {
            return [];
        }
        $names = \core_user\fields::for_name()->get_sql('u', true);
        $users = $DB->get_records_sql(
            "SELECT DISTINCT u.id $names->selects FROM {user} u $join->joins WHERE u.id $in AND u.deleted = 0 AND $join->wheres",
            $params + $join->params
        );
        return array_map(fn($user) => $this->name($user), $users);
    }

    /**
     * A user's name, as the viewer may see it.
     *
     * @param \stdClass $user
     * @return string
     */
    public function name(\stdClass $user): string {
        return fullname($user, has_capability('moodle/site:viewfullnames', $this->viewer->context));
    }

    /**
     * Adds groups and times.
     *
     * @param \stdClass[] $users
     * @return array[]
     */
    private function complete(array $users): array {
        $identity = array_keys($this->identity_headings());
        $groups = $this->groups(array_keys($users));
        $times = new time_limits($this->viewer->cm);
        $students = [];
        foreach ($users as $id => $user) {
            [$close, $limit] = $times->of($id);
            $students[$id] = [
                'id' => $id,
                'name' => $this->name($user),
                'identity' => array_map(fn($field) => (string) $user->$field, $identity),
                'groups' => $groups[$id] ?? [],
                'close' => $close,
                'limit' => $limit,
            ];
        }
        return $students;
    }

    /**
     * The groups of users, of those groups that the viewer may filter by.
     *
     * @param int[] $userids
     * @return array[] user id => group ids
     */
    private function groups(array $userids): array {
        global $DB;
        $groups = array_keys($this->filter_groups());
        if (!$groups || !$userids) {
            return [];
        }
        [$in, $params] = $DB->get_in_or_equal($groups);
        $wanted = array_flip($userids);
        $of = [];
        foreach ($DB->get_recordset_select('groups_members', "groupid $in", $params, '', 'id, groupid, userid') as $member) {
            if (isset($wanted[$member->userid])) {
                $of[$member->userid][] = (int) $member->groupid;
            }
        }
        return $of;
    }

    /**
     * The groups that the viewer may filter by.
     *
     * @return string[] group id => name
     */
    public function filter_groups(): array {
        if (!groups_get_activity_groupmode($this->viewer->cm)) {
            return [];
        }
        $context = ['context' => $this->viewer->context];
        return array_map(
            fn($group) => format_string($group->name, true, $context),
            groups_get_activity_allowed_groups($this->viewer->cm, $this->viewer->userid)
        );
    }
}
