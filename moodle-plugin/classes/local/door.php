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
 * closed attempt. Everything else is in the request.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class door {
    /** Seconds after which a browser asks again when nothing can be taken. */
    public const RETRY_AFTER = 5;

    /** What a process remembers of a site is called this and the site's id. */
    private const MEMORY = 'data directory of ';

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
     * @return array [HTTP status, body]
     */
    public static function reply(string $dataroot, string $body, float $now, backend $backend, array $server = []): array {
        try {
            $door = self::read($dataroot);
            if ($door === null || !$door['open'] || !$backend->is_available()) {
                throw new refusal(503, ['error' => 'unavailable', 'saved' => 0]);
            }
            $data = validator::decode($body, $door['limits']);
            // A door file from before an upgrade has no switches.
            $grant = token::verify($data['token'] ?? null, $door['keys'], $door['site'], $now, $door['switches'] ?? 0);
            if ($grant === null) {
                throw new refusal(403, ['error' => 'token']);
            }
            $backend->remember(self::MEMORY . $grant->site, $dataroot);
            return self::pass($grant, $dataroot, $door, $data, $now, $backend, $server);
        } catch (refusal $refusal) {
            return [$refusal->status, $refusal->body];
        }
    }

    /**
     * The reply to a request, if this process knows from one before it where the data directory of the site is that the
     * token names.
     *
     * config.php, which alone knows, takes longer than all the rest, and may serve several sites. That it is the right
     * directory is not taken on trust: the keys in it must verify the token. Whatever else is refused before that, or
     * finds the door shut, is for config.php to decide.
     *
     * @param string $body
     * @param float $now the time of receipt.
     * @param backend $backend
     * @param string[] $server the request, as in $_SERVER.
     * @return array|null [HTTP status, body]; null: only {@see self::reply()} can tell.
     */
    public static function reply_from_memory(string $body, float $now, backend $backend, array $server = []): ?array {
        $grant = null;
        try {
            $data = validator::decode($body, validator::LIMITS);
            $site = token::named_site($data['token'] ?? null);
            $dataroot = $site === null ? null : $backend->recall(self::MEMORY . $site);
            $door = $dataroot === null ? null : self::read($dataroot);
            if ($door === null || !$door['open'] || strlen($body) > $door['limits']['maxbody']) {
                return null;
            }
            $grant = token::verify($data['token'], $door['keys'], $door['site'], $now, $door['switches'] ?? 0);
            return $grant ? self::pass($grant, $dataroot, $door, $data, $now, $backend, $server) : null;
        } catch (refusal $refusal) {
            return $grant ? [$refusal->status, $refusal->body] : null;
        }
    }

    /**
     * What is asked of a request with a good token.
     *
     * @param grant $grant
     * @param string $dataroot
     * @param array $door
     * @param array $data the decoded request.
     * @param float $now
     * @param backend $backend
     * @param string[] $server
     * @return array [HTTP status, body]
     */
    private static function pass(
        grant $grant,
        string $dataroot,
        array $door,
        array $data,
        float $now,
        backend $backend,
        array $server
    ): array {
        if (is_file(self::closed_mark($dataroot, $grant->attempt))) {
            throw new refusal(410, ['error' => 'finished']);
        }
        $client = fn() => $grant->has('signaladdress') ? new client($server, $door['client']) : null;
        return self::accept($grant, $data, $now, $door['limits'], $backend, $client);
    }

    /**
     * Hands the records of a request over, and tells the help desk's news to a page that asks for them.
     *
     * @param grant $grant
     * @param array $data the decoded request.
     * @param float $now
     * @param array $limits
     * @param backend $backend
     * @param \Closure $client tells the {@see client}, or null where that is not noted.
     * @return array [HTTP status, body]
     */
    public static function accept(
        grant $grant,
        array $data,
        float $now,
        array $limits,
        backend $backend,
        \Closure $client
    ): array {
        $lines = validator::lines($grant, $data, $now, $limits, $client);
        $listens = isset($data['help']) && $grant->has('helpdesk');
        // The store is asked for these only: an answer never waits for it.
        $desk = $listens || in_array('help', array_column($data['records'], 'type'), true)
            ? helpdesk::ask($grant, $backend) : null;
        $desk?->admit($grant, $data['records']);
        $saved = $lines ? $backend->put($lines) : 0;
        if ($saved < count($lines)) {
            throw new refusal(503, ['error' => 'full', 'saved' => $saved]);
        }
        $news = $listens ? $desk->news($data['help']) : null;
        return [200, ['saved' => $saved, 'now' => round($now, 6)] + ($news ? ['help' => $news] : [])];
    }

    /**
     * The body of a reply as JSON.
     *
     * @param array $body
     * @return string
     */
    public static function encode(array $body): string {
        $now = isset($body['now']) ? '"now":' . envelope::seconds($body['now']) . ',' : '';
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
