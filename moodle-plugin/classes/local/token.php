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
 * else, and it opens no session. Uses neither database nor session, because the door has none.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class token {
    /** Tokens longer than this are not looked at; one of 1,000 slots is about 20 kB. */
    private const MAX_LENGTH = 65536;

    /** So many characters of a grant hold the site's id, which comes first: 69 bytes. */
    private const SITE_LENGTH = 92;

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
     * The site that a token names. Nothing says yet that it is one of ours.
     *
     * @param mixed $token as the browser sent it.
     * @return string|null null: it names none.
     */
    public static function named_site(mixed $token): ?string {
        $parts = self::parts($token);
        $start = $parts ? base64_decode(strtr(substr($parts[1], 0, self::SITE_LENGTH), '-_', '+/')) : '';
        return preg_match('/^\["([A-Za-z0-9_-]{1,64})",/', $start, $match) ? $match[1] : null;
    }

    /**
     * Checks a token.
     *
     * @param mixed $token as the browser sent it.
     * @param string[] $secrets key id => secret.
     * @param string $site the site's id: a token of another site is foreign even under the same key.
     * @param float $now
     * @param int $switches those that the site lets be on, {@see switches::of_site()}.
     * @return grant|null null if the token is forged, foreign, damaged or expired.
     */
    public static function verify(mixed $token, array $secrets, string $site, float $now, int $switches = 0): ?grant {
        $parts = self::parts($token);
        if ($parts === null || !isset($secrets[$parts[0]])) {
            return null;
        }
        $signature = self::encode(hash_hmac('sha256', $parts[0] . '.' . $parts[1], $secrets[$parts[0]], true));
        if (!hash_equals($signature, $parts[2])) {
            return null;
        }
        // What follows was written by us.
        $payload = json_decode(base64_decode(strtr($parts[1], '-_', '+/')), true);
        if ($payload[0] !== $site || $payload[6] <= $now) {
            return null;
        }
        return new grant(
            $payload[0],
            $payload[1],
            $payload[2],
            $payload[3],
            $payload[4],
            $payload[8],
            $payload[5],
            $payload[6],
            (bool) $payload[7],
            // A token from before an upgrade has none.
            ($payload[9] ?? 0) & $switches,
        );
    }

    /**
     * Key id, grant and signature.
     *
     * @param mixed $token
     * @return string[]|null null: this is not even a token's form.
     */
    private static function parts(mixed $token): ?array {
        if (!is_string($token) || strlen($token) > self::MAX_LENGTH) {
            return null;
        }
        $parts = explode('.', $token, 4);
        return count($parts) === 3 ? $parts : null;
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
