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
 * The plugin's private files in the data directory.
 *
 * Not make_writable_directory(): keys are nobody else's business, whatever $CFG->directorypermissions says. What root
 * makes, running cron or an upgrade, it hands over to the data directory's owner, for whom the door reads.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class files {
    /**
     * Makes a directory and those above it, up to the data directory.
     *
     * @param string $directory
     */
    public static function make_directory(string $directory): void {
        if (is_dir($directory)) {
            return;
        }
        self::make_directory(dirname($directory));
        // Another process may have been faster.
        if (!@mkdir($directory, 0700) && !is_dir($directory)) {
            throw new \moodle_exception('error_directory', 'local_examstream', '', $directory);
        }
        self::hand_over($directory);
    }

    /**
     * Writes a file as a whole, or leaves the former one.
     *
     * @param string $file
     * @param string $contents
     * @param int $modified its time of modification.
     */
    public static function write(string $file, string $contents, int $modified): void {
        self::make_directory(dirname($file));
        $temporary = $file . '.' . bin2hex(random_bytes(4));
        $umask = umask(0177);
        $written = @file_put_contents($temporary, $contents);
        umask($umask);
        if ($written !== strlen($contents) || !touch($temporary, $modified)) {
            @unlink($temporary);
            throw new \moodle_exception('error_directory', 'local_examstream', '', dirname($file));
        }
        self::hand_over($temporary);
        if (!@rename($temporary, $file)) {
            @unlink($temporary);
            throw new \moodle_exception('error_directory', 'local_examstream', '', dirname($file));
        }
    }

    /**
     * Gives what root has made to the data directory's owner.
     *
     * @param string $path
     */
    private static function hand_over(string $path): void {
        global $CFG;
        if (function_exists('posix_geteuid') && posix_geteuid() === 0) {
            chown($path, fileowner($CFG->dataroot));
            chgrp($path, filegroup($CFG->dataroot));
        }
    }
}
