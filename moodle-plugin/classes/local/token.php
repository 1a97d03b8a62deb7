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
 * The page token: a {@see grant} signed with HMAC-SHA256, "<key id>.<grant>.<signature>".
 *
 * It lets a page write answers of its own attempt, and read what the help desk says to it where there is one: nothing
 * else, and it opens no session. The extension verifies it, {@see backend::admit()}.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class token {
    /**
     * Signs a grant.
     *
     * @param grant $grant
     * @param string $keyid
     * @param string $secret
     * @return string
     */
    public static function sign(grant $grant, string $keyid, string $secret): string {
        $payload = [
            $grant->site, $grant->attempt, $grant->user, $grant->quiz, $grant->usage, $grant->page,
            $grant->expires, (int) $grant->preview, (object) $grant->slots, $grant->switches,
        ];
        $signed = $keyid . '.' . self::encode(json_encode($payload, JSON_THROW_ON_ERROR));
        return $signed . '.' . self::encode(hash_hmac('sha256', $signed, $secret, true));
    }

    /**
     * Base64 in the alphabet of URLs.
     *
     * @param string $bytes
     * @return string
     */
    private static function encode(string $bytes): string {
        return rtrim(strtr(base64_encode($bytes), '+/', '-_'), '=');
    }
}
