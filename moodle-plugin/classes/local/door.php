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
 * The cheap door: from the body of a request to its reply, without database and session.
 *
 * Reads two things from the disk: the door file, which {@see keys} publishes from the database, and the mark of a
 * closed attempt. Everything else is in the request, and what it may write is judged by the extension. put.php comes
 * here only where the extension does not do all of this by itself.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class door {
    /** Limits where the site sets none: bytes of a request, bytes of a record, fields of an answer. */
    public const LIMITS = ['maxbody' => 1048576, 'maxrecord' => 262144, 'maxfields' => 1000];

    /**
     * Where the door's files are: not in a cache directory, those are wiped by every purge.
     *
     * @param string $dataroot
     * @return string
     */
    public static function directory(string $dataroot): string {
        return $dataroot . '/local_examstream';
    }

    /**
     * Reads the door file.
     *
     * It is PHP, so that opcache keeps it in memory. Its name stays and its time of modification is written in it,
     * so a stale copy in opcache is noticed whatever opcache.validate_timestamps says.
     *
     * @param string $dataroot
     * @return array|null null while it is missing.
     */
    public static function read(string $dataroot): ?array {
        $file = self::directory($dataroot) . '/door.php';
        $modified = @filemtime($file);
        $door = $modified === false ? null : @include($file);
        if (!is_array($door)) {
            return null;
        }
        if ($door['written'] !== $modified && function_exists('opcache_invalidate')) {
            opcache_invalidate($file, true);
            $door = include($file);
        }
        return $door;
    }

    /**
     * The reply to a request.
     *
     * @param string $dataroot
     * @param string $body
     * @param float $now the time of receipt.
     * @param backend $backend
     * @param string[] $server the request, as in $_SERVER.
     * @param string|null $token in place of the one in the request, where it is known who asks.
     * @return array [HTTP status, body]
     */
    public static function reply(
        string $dataroot,
        string $body,
        float $now,
        backend $backend,
        array $server = [],
        ?string $token = null
    ): array {
        $door = $backend->is_available() ? self::read($dataroot) : null;
        if ($door === null || !$door['open']) {
            return [503, ['error' => 'unavailable', 'saved' => 0]];
        }
        [$status, $what] = $backend->admit($body, $door, $now, $server, $token);
        if ($status !== 200) {
            return [$status, $what];
        }
        if (is_file(self::closed_mark($dataroot, $what['attempt']))) {
            return [410, ['error' => 'finished']];
        }
        return self::pass($what, $backend);
    }

    /**
     * The reply of put.php where the extension leaves it to us.
     *
     * @param string $body
     * @param array|null $request what the extension has admitted, if that is what it leaves; null: config.php was read.
     * @return array [HTTP status, body as JSON]
     */
    public static function serve(string $body, ?array $request): array {
        global $CFG;
        $extension = new extension();
        if ($request !== null) {
            [$status, $reply] = self::pass($request, $extension);
        } else if ($_SERVER['REQUEST_METHOD'] !== 'POST') {
            header('Allow: POST');
            [$status, $reply] = [405, ['error' => 'method']];
        } else {
            [$status, $reply] = self::reply($CFG->dataroot, $body, microtime(true), $extension, $_SERVER);
        }
        return [$status, self::encode($reply)];
    }

    /**
     * Hands the records of a request over, and tells the help desk's news to a page that asks for them.
     *
     * @param array $request what was admitted, {@see backend::admit()}.
     * @param backend $backend
     * @return array [HTTP status, body]
     */
    private static function pass(array $request, backend $backend): array {
        // The store is asked for these only: an answer never waits for it.
        $help = $request['help'] ?? null;
        $desk = $help ? helpdesk::ask(new grant(...$help['grant']), $backend) : null;
        try {
            $desk?->admit($help['calls']);
        } catch (refusal $refusal) {
            return [$refusal->status, $refusal->body];
        }
        $saved = $request['lines'] ? $backend->put($request['lines']) : 0;
        if ($saved < count($request['lines'])) {
            return [503, ['error' => 'full', 'saved' => $saved]];
        }
        $news = isset($help['known']) ? $desk->news($help['known']) : null;
        return [200, ['saved' => $saved, 'now' => $request['now']] + ($news ? ['help' => $news] : [])];
    }

    /**
     * The body of a reply as JSON.
     *
     * The time has six digits behind the point, as everywhere.
     *
     * @param array $body
     * @return string
     */
    public static function encode(array $body): string {
        $now = isset($body['now']) ? sprintf('"now":%.6F,', $body['now']) : '';
        unset($body['now']);
        return '{' . $now . substr(json_encode($body, JSON_THROW_ON_ERROR), 1);
    }

    /**
     * The file that says that an attempt takes nothing more.
     *
     * @param string $dataroot
     * @param int $attempt
     * @return string
     */
    public static function closed_mark(string $dataroot, int $attempt): string {
        return self::directory($dataroot) . '/closed/' . ($attempt % 256) . '/' . $attempt;
    }
}
