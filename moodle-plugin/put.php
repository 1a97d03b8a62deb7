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

/**
 * The cheap door: takes answers from attempt pages, without database and session.
 *
 * The page token in the request says whose they are. This is the page that is asked most on a site during an exam, so the
 * extension replies wherever a request in this process has shown it the site's door a moment ago; config.php and classes
 * are read where not, or where something is not as usual. Nothing here may mention $_SERVER: PHP would fill it each time.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */

// phpcs:disable moodle.Files.MoodleInternal.MoodleInternalGlobalState
// A site may set a smaller limit than this, which keeps what is read into memory bounded.
$localexamstreambody = (string) file_get_contents('php://input', false, null, 0, 1048577);
$localexamstreamreply = function_exists('exam_stream_try_door') ? exam_stream_try_door($localexamstreambody) : null;

if (!isset($localexamstreamreply[0])) {
    // Moodle's autoloader comes with all of config.php only.
    spl_autoload_register(function (string $class): void {
        $file = __DIR__ . '/classes' . strtr(substr($class, strlen('local_examstream')), '\\', '/') . '.php';
        if (str_starts_with($class, 'local_examstream\\') && is_file($file)) {
            require_once($file);
        }
    });
    // As config.php has it: a warning that is shown would be no JSON, and nobody's business.
    ini_set('display_errors', '0');
    try {
        if ($localexamstreamreply === null) {
            define('ABORT_AFTER_CONFIG', true);
            define('NO_DEBUG_DISPLAY', true);
            require(__DIR__ . '/../../config.php');
        }
        $localexamstreamreply = \local_examstream\local\door::serve($localexamstreambody, $localexamstreamreply[1] ?? null);
        $localexamstreamdoor = isset($CFG->dataroot) ? \local_examstream\local\door::read($CFG->dataroot) : null;
        if ($localexamstreamdoor && $localexamstreamreply[0] === 200) {
            // No longer than opcache, as it comes, keeps a file that has changed. Only code in this file may show it doors.
            $localexamstreamdirectory = \local_examstream\local\door::directory($CFG->dataroot);
            exam_stream_keep_door($localexamstreamdoor, $localexamstreamdirectory, 2.0);
        }
    } catch (\Throwable $e) {
        // The message of an unforeseen error might quote what was sent. There is no debugging() yet.
        // phpcs:ignore moodle.PHP.ForbiddenFunctions.FoundWithAlternative
        error_log('local_examstream: put.php failed: ' . get_class($e) . ' at ' . $e->getFile() . ':' . $e->getLine());
        $localexamstreamreply = [503, '{"error":"unavailable","saved":0}'];
    }
}

header('Content-Type: application/json');
header('Cache-Control: no-store');
if ($localexamstreamreply[0] !== 200) {
    http_response_code($localexamstreamreply[0]);
}
if ($localexamstreamreply[0] === 503) {
    header('Retry-After: 5');
}
echo $localexamstreamreply[1];
