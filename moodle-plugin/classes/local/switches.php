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
 * What a quiz may do besides streaming answers: the help desk, and the signs that are noted about an attempt.
 *
 * Each is switched by the site (never; off or on unless a quiz says otherwise) and by the quiz, and is off until
 * somebody switches it on. A page is told which are on, and so is its token: what is off is neither collected by the
 * script nor taken by the door. "Never" holds at once, for pages that are open too.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class switches {
    /** Name of each switch => its bit in a grant. */
    public const BITS = [
        'helpdesk' => 1,
        'signalhidden' => 2,
        'signalclipboard' => 4,
        'signalconnection' => 8,
        'signaladdress' => 16,
        'signaldevice' => 32,
    ];

    /** The totals that a sign brings. */
    public const COUNTS = [
        'signalhidden' => ['hidden', 'hidden_s'],
        'signalclipboard' => ['pasted', 'copied'],
        'signalconnection' => ['offline', 'offline_s'],
    ];

    /** What the site says of a switch. */
    public const SITE = ['never', 'off', 'on'];

    /**
     * The switches that are on in a quiz.
     *
     * @param int $quizid
     * @return int bits
     */
    public static function of_quiz(int $quizid): int {
        global $DB;
        $quiz = $DB->get_record('local_examstream_quiz', ['quizid' => $quizid]);
        $bits = 0;
        foreach (self::BITS as $name => $bit) {
            $site = site::setting($name);
            if ($site !== 'never' && ($quiz->$name ?? $site === 'on')) {
                $bits |= $bit;
            }
        }
        return $bits;
    }

    /**
     * The switches that may be on in some quiz.
     *
     * @return int bits
     */
    public static function of_site(): int {
        $allowed = array_filter(self::BITS, fn($name) => site::setting($name) !== 'never', ARRAY_FILTER_USE_KEY);
        return array_sum($allowed);
    }

    /**
     * The names of switches.
     *
     * @param int $bits
     * @return string[]
     */
    public static function names(int $bits): array {
        return array_keys(array_filter(self::BITS, fn($bit) => $bits & $bit));
    }
}
