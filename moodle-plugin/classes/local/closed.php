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
 * Marks of attempts that take nothing more: empty files that the door looks for.
 *
 * A token outlives the end of its attempt; the mark does not let it in.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class closed {
    /**
     * The attempt takes nothing more.
     *
     * @param int $attempt
     */
    public static function mark(int $attempt): void {
        global $CFG;
        $mark = door::closed_mark($CFG->dataroot, $attempt);
        files::write($mark, '', time());
    }

    /**
     * Whether the attempt is marked.
     *
     * @param int $attempt
     * @return bool
     */
    public static function is_marked(int $attempt): bool {
        global $CFG;
        return is_file(door::closed_mark($CFG->dataroot, $attempt));
    }

    /**
     * The attempt was opened again.
     *
     * @param int $attempt
     */
    public static function clear(int $attempt): void {
        global $CFG;
        if (self::is_marked($attempt)) {
            unlink(door::closed_mark($CFG->dataroot, $attempt));
        }
    }

    /**
     * Removes the marks that no living token needs.
     */
    public static function sweep(): void {
        global $CFG;
        $before = time() - (int) site::setting('tokenlife') - DAYSECS;
        foreach (glob(door::directory($CFG->dataroot) . '/closed/*/*') as $mark) {
            if (filemtime($mark) < $before) {
                @unlink($mark); // Another web server may have been faster.
            }
        }
    }
}
