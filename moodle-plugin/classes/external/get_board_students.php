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

namespace local_examstream\external;

use core_external\external_function_parameters;
use core_external\external_multiple_structure;
use core_external\external_single_structure;
use core_external\external_value;
use local_examstream\local\roster;

/**
 * The names that belong to the live board: asked once, and again for whoever comes later.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class get_board_students extends invigilation {
    /**
     * Parameters.
     *
     * @return external_function_parameters
     */
    public static function execute_parameters(): external_function_parameters {
        return new external_function_parameters([
            'cmid' => new external_value(PARAM_INT, 'The id of the quiz\'s course module'),
            'ids' => new external_multiple_structure(
                new external_value(PARAM_INT, 'A user id'),
                'Whose names are wanted, ' . roster::MAX_IDS . ' at most; none: everybody who may take the quiz',
                VALUE_DEFAULT,
                []
            ),
        ]);
    }

    /**
     * Asks for names.
     *
     * @param int $cmid
     * @param int[] $ids
     * @return array
     */
    public static function execute(int $cmid, array $ids = []): array {
        \core\session\manager::write_close();
        ['cmid' => $cmid, 'ids' => $ids] = self::validate_parameters(
            self::execute_parameters(),
            ['cmid' => $cmid, 'ids' => $ids]
        );
        $viewer = self::invigilator($cmid, 'local/examstream:viewboard');
        $roster = new roster($viewer);
        $students = $roster->students($ids ?: null);
        $colleagues = [];
        foreach ($roster->colleagues(array_diff($ids, array_keys($students))) as $id => $name) {
            $colleagues[] = ['id' => $id, 'name' => $name];
        }
        return ['students' => array_values($students), 'colleagues' => $colleagues];
    }

    /**
     * What it returns.
     *
     * @return external_single_structure
     */
    public static function execute_returns(): external_single_structure {
        return new external_single_structure([
            'students' => new external_multiple_structure(new external_single_structure([
                'id' => new external_value(PARAM_INT, 'The user id'),
                'name' => new external_value(PARAM_RAW, 'The full name, as text'),
                'identity' => new external_multiple_structure(
                    new external_value(PARAM_RAW, 'As text: what the site identifies users by, for those who may see it')
                ),
                'groups' => new external_multiple_structure(
                    new external_value(PARAM_INT, 'A group, of those that the viewer may filter by')
                ),
                'close' => new external_value(PARAM_INT, 'When the quiz closes for this student; 0: never'),
                'limit' => new external_value(PARAM_INT, 'Seconds an attempt of this student may take; 0: no limit'),
            ])),
            'colleagues' => new external_multiple_structure(new external_single_structure([
                'id' => new external_value(PARAM_INT, 'The user id'),
                'name' => new external_value(PARAM_RAW, 'The full name, as text'),
            ]), 'Those of the ids who answer calls for help'),
        ]);
    }
}
