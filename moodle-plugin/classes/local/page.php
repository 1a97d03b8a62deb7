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
 * Names of page instances: "<minted µs, 16 hex digits>-<8 random>.<8 of the running script>".
 *
 * The server mints the first part with each page, the script adds the nonce, so that a reloaded, duplicated or
 * revived page counts for itself. Names sort by the time of minting.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class page {
    /** The form of the part that the server mints. */
    private const MINTED = '[0-9a-f]{16}-[0-9a-f]{8}';

    /**
     * A new page name.
     *
     * @param float $now seconds.
     * @return string without the script's nonce.
     */
    public static function mint(float $now): string {
        return sprintf('%016x-%s', (int) round($now * 1e6), bin2hex(random_bytes(4)));
    }

    /**
     * A page instance for records the server itself writes about a request.
     *
     * @param float $now seconds.
     * @return string a whole page instance.
     */
    public static function of_server(float $now): string {
        return self::mint($now) . '.00000000';
    }

    /**
     * Whether this is the name of a page instance.
     *
     * @param string $page
     * @return bool
     */
    public static function is_instance(string $page): bool {
        return (bool) preg_match('/^' . self::MINTED . '\.[0-9a-f]{8}$/D', $page);
    }

    /**
     * When the page was minted.
     *
     * @param string $page the name of a page or of a page instance.
     * @return float seconds.
     */
    public static function minted(string $page): float {
        return hexdec(substr($page, 0, 16)) / 1e6;
    }

    /**
     * Reads the hidden field that our script keeps in the attempt's form.
     *
     * @param mixed $value "<page instance>:<counter>", optionally ":<time of the page's last edit>".
     * @return array|null [page instance, counter, time or null]; null if this is not such a value.
     */
    public static function parse_field(mixed $value): ?array {
        if (!is_string($value) || !preg_match('/^([^:]{1,64}):(\d{1,9})(?::(\d{1,11}(?:\.\d{1,6})?))?$/D', $value, $m)) {
            return null;
        }
        return self::is_instance($m[1]) ? [$m[1], (int) $m[2], isset($m[3]) ? (float) $m[3] : null] : null;
    }
}
