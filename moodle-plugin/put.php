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
 * The page token in the request says whose they are; see \local_examstream\local\door. This is the page that is asked
 * most on a site during an exam, so it loads nothing but what it needs, each class by name; those of the help desk and
 * of the signs come by Moodle's autoloader where they are used.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */

define('ABORT_AFTER_CONFIG', true);
define('NO_DEBUG_DISPLAY', true);

require(__DIR__ . '/../../config.php'); // phpcs:ignore moodle.Files.RequireLogin.Missing
foreach (['backend', 'door', 'envelope', 'extension', 'grant', 'page', 'refusal', 'switches', 'token', 'validator'] as $class) {
    require_once(__DIR__ . "/classes/local/$class.php");
}

/**
 * Replies to the request.
 *
 * @param string $dataroot
 * @return array [HTTP status, body]
 */
function local_examstream_reply(string $dataroot): array {
    if ($_SERVER['REQUEST_METHOD'] !== 'POST') {
        header('Allow: POST');
        return [405, ['error' => 'method']];
    }
    // The door file may set a smaller limit; this one keeps what is read into memory bounded.
    $maxbody = \local_examstream\local\validator::LIMITS['maxbody'];
    if (($_SERVER['CONTENT_LENGTH'] ?? 0) > $maxbody) {
        return [413, ['error' => 'toolarge']];
    }
    $body = file_get_contents('php://input', false, null, 0, $maxbody + 1);
    return \local_examstream\local\door::reply(
        $dataroot,
        (string) $body,
        microtime(true),
        new \local_examstream\local\extension(),
        $_SERVER
    );
}

try {
    [$status, $reply] = local_examstream_reply($CFG->dataroot);
} catch (\Throwable $e) {
    // The message of an unforeseen error might quote what was sent. There is no debugging() yet.
    // phpcs:ignore moodle.PHP.ForbiddenFunctions.FoundWithAlternative
    error_log('local_examstream: put.php failed: ' . get_class($e) . ' at ' . $e->getFile() . ':' . $e->getLine());
    [$status, $reply] = [503, ['error' => 'unavailable', 'saved' => 0]];
}

http_response_code($status);
header('Content-Type: application/json');
header('Cache-Control: no-store');
if ($status === 503) {
    header('Retry-After: ' . \local_examstream\local\door::RETRY_AFTER);
}
echo json_encode($reply);
