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
 * most on a site during an exam, so it loads nothing but what it needs, and reads config.php only where its process does
 * not remember what that said a moment ago.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */

// By name, because Moodle's autoloader comes with config.php only. Ours is for what few requests need.
// phpcs:disable moodle.Files.MoodleInternal.MoodleInternalGlobalState
require_once(__DIR__ . '/classes/local/backend.php');
require_once(__DIR__ . '/classes/local/extension.php');
require_once(__DIR__ . '/classes/local/door.php');
spl_autoload_register(function (string $class): void {
    $file = __DIR__ . '/classes' . strtr(substr($class, strlen('local_examstream')), '\\', '/') . '.php';
    if (str_starts_with($class, 'local_examstream\\') && is_file($file)) {
        require_once($file);
    }
});

// As config.php has it: a warning that is shown would be no JSON, and nobody's business.
if (ini_get('display_errors')) {
    ini_set('display_errors', '0');
}

/**
 * Replies to the request.
 *
 * @param string|null $dataroot null: as far as that is possible without config.php.
 * @return array|null [HTTP status, body]; null: it is not.
 */
function local_examstream_reply(?string $dataroot): ?array {
    if ($_SERVER['REQUEST_METHOD'] !== 'POST') {
        header('Allow: POST');
        return [405, ['error' => 'method']];
    }
    // The door file may set a smaller limit; this one keeps what is read into memory bounded.
    $maxbody = \local_examstream\local\door::LIMITS['maxbody'];
    if (($_SERVER['CONTENT_LENGTH'] ?? 0) > $maxbody) {
        return [413, ['error' => 'toolarge']];
    }
    $body = (string) file_get_contents('php://input', false, null, 0, $maxbody + 1);
    $extension = new \local_examstream\local\extension();
    return $dataroot === null
        ? \local_examstream\local\door::reply_from_memory($body, microtime(true), $extension, $_SERVER)
        : \local_examstream\local\door::reply($dataroot, $body, microtime(true), $extension, $_SERVER);
}

try {
    $localexamstreamreply = local_examstream_reply(null);
    if ($localexamstreamreply === null) {
        define('ABORT_AFTER_CONFIG', true);
        define('NO_DEBUG_DISPLAY', true);
        require(__DIR__ . '/../../config.php');
        $localexamstreamreply = local_examstream_reply($CFG->dataroot);
    }
} catch (\Throwable $e) {
    // The message of an unforeseen error might quote what was sent. There is no debugging() yet.
    // phpcs:ignore moodle.PHP.ForbiddenFunctions.FoundWithAlternative
    error_log('local_examstream: put.php failed: ' . get_class($e) . ' at ' . $e->getFile() . ':' . $e->getLine());
    $localexamstreamreply = [503, ['error' => 'unavailable', 'saved' => 0]];
}

http_response_code($localexamstreamreply[0]);
header('Content-Type: application/json');
header('Cache-Control: no-store');
if ($localexamstreamreply[0] === 503) {
    header('Retry-After: ' . \local_examstream\local\door::RETRY_AFTER);
}
echo \local_examstream\local\door::encode($localexamstreamreply[1]);
