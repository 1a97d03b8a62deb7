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
use core_external\external_single_structure;
use core_external\external_value;
use local_examstream\local\backend;
use local_examstream\local\board;
use local_examstream\local\board_feed;
use local_examstream\local\site;

/**
 * What has changed on the live board: asked every two seconds by each invigilator, so it asks no table of the quiz, and
 * neither waits nor lets others wait for the session.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class get_board extends invigilation {
    /**
     * Parameters.
     *
     * @return external_function_parameters
     */
    public static function execute_parameters(): external_function_parameters {
        return new external_function_parameters([
            'cmid' => new external_value(PARAM_INT, 'The id of the quiz\'s course module'),
            'since' => new external_value(PARAM_INT, 'The version that was told before; 0 for everything', VALUE_DEFAULT, 0),
        ]);
    }

    /**
     * Asks the board.
     *
     * @param int $cmid
     * @param int $since
     * @return array
     */
    public static function execute(int $cmid, int $since = 0): array {
        \core\session\manager::write_close();
        ['cmid' => $cmid, 'since' => $since] = self::validate_parameters(
            self::execute_parameters(),
            ['cmid' => $cmid, 'since' => $since]
        );
        $viewer = self::invigilator($cmid, 'local/examstream:viewboard');
        $board = new board($viewer, new board_feed(\core\di::get(backend::class)));
        try {
            $changes = $board->changes(max(0, $since));
        } catch (\Throwable $e) {
            site::note('reading the live board', $e);
            throw new \moodle_exception('board_storedown', 'local_examstream');
        }
        $flags = JSON_THROW_ON_ERROR | JSON_INVALID_UTF8_SUBSTITUTE | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE;
        $changes['rows'] = json_encode($changes['rows'], $flags);
        $changes['signals'] = json_encode($changes['signals'], $flags);
        return $changes;
    }

    /**
     * What it returns. Rows are encoded once, not checked value by value: there are hundreds of them in a reply.
     *
     * @return external_single_structure
     */
    public static function execute_returns(): external_single_structure {
        return new external_single_structure([
            'version' => new external_value(PARAM_INT, 'What to ask since the next time'),
            'more' => new external_value(PARAM_BOOL, 'Whether there is more: ask again at once'),
            'reset' => new external_value(PARAM_BOOL, 'Whether what was told before no longer holds'),
            'now' => new external_value(PARAM_FLOAT, 'The server\'s time, in seconds'),
            'rows' => new external_value(PARAM_RAW, 'JSON: a list of attempts that have changed. Of each: attempt, '
                . 'student (user id), word (a digit per slot: 0 not answered, 1 answered, 2 answered and changed), flags (a digit '
                . 'per slot), answered, slots, state (started, finished, overdue, abandoned, reopened), statesince, seen, edited '
                . '(times in seconds), counts, help (calls with their steps), signals, sametime (two devices at once), addresses, '
                . 'agents; of one that was erased: attempt, erased'),
            'signals' => new external_value(PARAM_RAW, 'JSON: signals about the quiz as a whole, by name'),
        ]);
    }
}
