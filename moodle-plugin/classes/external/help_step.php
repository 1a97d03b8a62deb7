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
use local_examstream\local\help_queue;

/**
 * A step of a call for help, by an invigilator.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class help_step extends invigilation {
    /**
     * Parameters.
     *
     * @return external_function_parameters
     */
    public static function execute_parameters(): external_function_parameters {
        return new external_function_parameters([
            'cmid' => new external_value(PARAM_INT, 'The id of the quiz\'s course module'),
            'attempt' => new external_value(PARAM_INT, 'The id of the quiz attempt'),
            'call' => new external_value(PARAM_RAW, 'The id of the call'),
            'step' => new external_value(PARAM_ALPHA, implode(', ', help_queue::STEPS)),
            'text' => new external_value(PARAM_RAW, 'The answer, as text', VALUE_DEFAULT, ''),
        ]);
    }

    /**
     * Does the step.
     *
     * @param int $cmid
     * @param int $attempt
     * @param string $call
     * @param string $step
     * @param string $text
     * @return array
     */
    public static function execute(int $cmid, int $attempt, string $call, string $step, string $text = ''): array {
        \core\session\manager::write_close();
        ['cmid' => $cmid, 'attempt' => $attempt, 'call' => $call, 'step' => $step, 'text' => $text] = self::validate_parameters(
            self::execute_parameters(),
            ['cmid' => $cmid, 'attempt' => $attempt, 'call' => $call, 'step' => $step, 'text' => $text]
        );
        $viewer = self::invigilator($cmid, 'local/examstream:answerhelp');
        $queue = new help_queue($viewer, \core\di::get(backend::class));
        $queue->step($attempt, $call, $step, $text);
        return ['step' => $step];
    }

    /**
     * What it returns: refusals are exceptions, each with a sentence for the invigilator.
     *
     * @return external_single_structure
     */
    public static function execute_returns(): external_single_structure {
        return new external_single_structure([
            'step' => new external_value(PARAM_ALPHA, 'The step that was done'),
        ]);
    }
}
