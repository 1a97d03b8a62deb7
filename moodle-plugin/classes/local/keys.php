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
 * The keys that sign page tokens, and the door file.
 *
 * The database is the truth. The door reads a file that is published from it, written anew whenever a key or a
 * setting changes, and found missing by the next attempt page.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class keys {
    /** A key signs for this long; it verifies for as long as its tokens live. */
    private const SIGNS_FOR = DAYSECS;

    /**
     * Signs a grant with the newest key.
     *
     * @param grant $grant
     * @return string
     */
    public static function sign(grant $grant): string {
        $keys = self::load();
        if (!$keys || !is_readable(self::file())) {
            $keys = self::publish();
        }
        $keyid = array_key_last($keys);
        return token::sign($grant, (string) $keyid, $keys[$keyid]['secret']);
    }

    /**
     * Makes a new key when the newest one is old, and forgets those whose tokens have expired.
     */
    public static function rotate(): void {
        $now = \core\di::get(\core\clock::class)->time();
        $keys = self::load();
        $newest = end($keys);
        if (!$newest || $newest['made'] + self::SIGNS_FOR <= $now) {
            $keys[] = self::make($now);
        }
        $life = self::SIGNS_FOR + site::setting('tokenlife');
        $keys = array_filter($keys, fn($key) => $key['made'] + $life > $now || $key === end($keys));
        set_config('keys', json_encode($keys, JSON_FORCE_OBJECT), 'local_examstream');
        self::publish();
    }

    /**
     * Writes the door file from the database.
     *
     * @return array[] the keys.
     */
    public static function publish(): array {
        $keys = self::load();
        if (!$keys) {
            $keys = [1 => self::make(\core\di::get(\core\clock::class)->time())];
            set_config('keys', json_encode($keys, JSON_FORCE_OBJECT), 'local_examstream');
        }
        $file = self::file();
        // Each version has a time of modification of its own: by it the door knows a stale copy.
        $written = max(time(), (int) @filemtime($file) + 1);
        $door = [
            'written' => $written,
            'site' => site::id(),
            // Whatever new pages use: those that have a token go on.
            'open' => (bool) site::setting('enabled'),
            'limits' => site::limits(),
            'switches' => switches::of_site(),
            'client' => self::client(),
            'keys' => array_map(fn($key) => $key['secret'], $keys),
        ];
        files::write($file, '<?php return ' . var_export($door, true) . ';' . PHP_EOL, $written);
        return $keys;
    }

    /**
     * How the address of a request is read, of which a mark is noted where that is switched on. The key of the marks stays:
     * those of one attempt are compared over hours.
     *
     * @return array
     */
    private static function client(): array {
        global $CFG;
        $key = get_config('local_examstream', 'markkey');
        if (!$key) {
            $key = bin2hex(random_bytes(32));
            set_config('markkey', $key, 'local_examstream');
        }
        return [
            'key' => $key,
            'skip' => (int) ($CFG->getremoteaddrconf ?? GETREMOTEADDR_SKIP_DEFAULT),
            'proxies' => (string) ($CFG->reverseproxyignore ?? ''),
        ];
    }

    /**
     * The keys of the database, oldest first.
     *
     * @return array[] key id => ['secret' =>, 'made' =>]
     */
    private static function load(): array {
        $keys = json_decode((string) get_config('local_examstream', 'keys'), true) ?: [];
        ksort($keys);
        return $keys;
    }

    /**
     * A new key.
     *
     * @param int $now
     * @return array
     */
    private static function make(int $now): array {
        return ['secret' => bin2hex(random_bytes(32)), 'made' => $now];
    }

    /**
     * The door file.
     *
     * @return string
     */
    private static function file(): string {
        global $CFG;
        return door::directory($CFG->dataroot) . '/door.php';
    }
}
