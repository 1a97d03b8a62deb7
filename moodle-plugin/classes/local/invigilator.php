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
 * Somebody who looks after the students of a quiz, and whom of them they may see.
 *
 * Separate groups are enforced here and nowhere else: whatever is told about students passes through {@see self::sees()}, and
 * what queries found about one of them through {@see self::signals()}.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class invigilator {
    /** States in which nothing can be answered any more. */
    private const ENDED = ['submitted', 'finished', 'abandoned'];

    /** Above this many students it is cheaper, and kinder to the database, to ask for all members of the groups. */
    private const MAX_IN = 500;

    /** @var \context_module the quiz. */
    public readonly \context_module $context;

    /** @var int[]|null ids of the groups whose students they see; null: everybody's. */
    public readonly ?array $groups;

    /**
     * The constructor.
     *
     * @param \cm_info $cm the quiz.
     * @param int $userid
     */
    public function __construct(
        /** @var \cm_info the quiz. */
        public readonly \cm_info $cm,
        /** @var int the user. */
        public readonly int $userid,
    ) {
        $this->context = \context_module::instance($cm->id);
        $everybody = (int) groups_get_activity_groupmode($cm) !== SEPARATEGROUPS
            || has_capability('moodle/site:accessallgroups', $this->context, $userid);
        $this->groups = $everybody ? null : array_map(intval(...), array_keys(groups_get_activity_allowed_groups($cm, $userid)));
    }

    /**
     * Those of some users whom they may see.
     *
     * @param int[] $userids
     * @return int[] user id => user id
     */
    public function sees(array $userids): array {
        global $DB;
        $userids = array_combine($userids, $userids);
        if ($this->groups === null || !$userids) {
            return $userids;
        }
        if (!$this->groups) {
            return [];
        }
        [$select, $params] = $DB->get_in_or_equal($this->groups);
        if (count($userids) <= self::MAX_IN) {
            [$in, $more] = $DB->get_in_or_equal(array_values($userids));
            [$select, $params] = ["$select AND userid $in", array_merge($params, $more)];
        }
        $members = $DB->get_fieldset_select('groups_members', 'DISTINCT userid', "groupid $select", $params);
        return array_intersect_key($userids, array_flip($members));
    }

    /**
     * Those signals of an attempt that they may see now, and of these what they may see.
     *
     * A row with a true column `afterwards` tells whether answers are right: nobody sees it during the attempt.
     *
     * @param array[] $signals name => at, row, revision.
     * @param string|null $state type of the latest record of its lifecycle.
     * @return array[]
     */
    public function signals(array $signals, ?string $state): array {
        if (!self::has_ended($state)) {
            $signals = array_filter($signals, fn($signal) => empty($signal['row']['afterwards']));
        }
        if ($this->groups !== null) {
            // The columns of a query may name other students.
            $signals = array_map(fn($signal) => array_diff_key($signal, ['row' => 1]), $signals);
        }
        return $signals;
    }

    /**
     * Whether nothing can be answered any more.
     *
     * @param string|null $state type of the latest record of an attempt's lifecycle.
     * @return bool
     */
    public static function has_ended(?string $state): bool {
        return in_array($state, self::ENDED, true);
    }
}
