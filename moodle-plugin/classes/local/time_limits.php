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
 * When a quiz closes and how long it may take, for each student: the quiz's own times and its overrides, read once.
 *
 * The rules are those of quiz_update_effective_access(), for all students in three queries.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class time_limits {
    /** @var \stdClass timeclose and timelimit of the quiz. */
    private readonly \stdClass $quiz;

    /** @var \stdClass[] overrides of users, by user. */
    private array $ofusers = [];

    /** @var array[] overrides of groups, by user who is in them. */
    private array $ofgroups = [];

    /**
     * The constructor.
     *
     * @param \cm_info $cm
     */
    public function __construct(\cm_info $cm) {
        global $DB;
        $this->quiz = $DB->get_record('quiz', ['id' => $cm->instance], 'id, timeclose, timelimit', MUST_EXIST);
        $groups = [];
        foreach ($DB->get_records('quiz_overrides', ['quiz' => $cm->instance]) as $override) {
            if ($override->userid) {
                $this->ofusers[$override->userid] = $override;
            } else {
                $groups[$override->groupid] = $override;
            }
        }
        if ($groups) {
            foreach ($DB->get_recordset_list('groups_members', 'groupid', array_keys($groups)) as $member) {
                $this->ofgroups[$member->userid][] = $groups[$member->groupid];
            }
        }
    }

    /**
     * The times of a student.
     *
     * @param int $userid
     * @return int[] when the quiz closes, and the seconds an attempt may take; 0: never, and as long as they like.
     */
    public function of(int $userid): array {
        return [$this->value('timeclose', $userid), $this->value('timelimit', $userid)];
    }

    /**
     * The time that holds for a student: their own, else the most generous of their groups', else the quiz's.
     *
     * @param string $name
     * @param int $userid
     * @return int
     */
    private function value(string $name, int $userid): int {
        $own = $this->ofusers[$userid]->$name ?? null;
        if ($own !== null) {
            return (int) $own;
        }
        $values = array_filter(array_column($this->ofgroups[$userid] ?? [], $name), fn($value) => $value !== null);
        if ($values) {
            return (int) (in_array(0, $values) ? 0 : max($values));
        }
        return (int) $this->quiz->$name;
    }
}
