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
 * Where a request comes from, as marks that tell only whether it is the same as before in the same attempt.
 *
 * A mark is a keyed hash: nobody can read an address or a browser from it, and the same address has another mark in
 * another attempt, so marks compare no two students. Uses neither database nor session.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class client {
    /** Bits of $CFG->getremoteaddrconf: what moodlelib.php, which the door does not load, calls GETREMOTEADDR_SKIP_…. */
    private const SKIP = ['HTTP_CLIENT_IP' => 1, 'HTTP_X_FORWARDED_FOR' => 2];

    /** Hexadecimal digits of a mark. */
    private const DIGITS = 16;

    /**
     * The constructor.
     *
     * @param string[] $server the request, as in $_SERVER.
     * @param array $settings {@see keys::client()}
     */
    public function __construct(
        /** @var string[] the request, as in $_SERVER. */
        private readonly array $server,
        /** @var array the key of the marks, and which headers are believed. */
        private readonly array $settings,
    ) {
    }

    /**
     * The marks of this request.
     *
     * @param int $attempt
     * @return string[] address and agent; without the address if it is none.
     */
    public function marks(int $attempt): array {
        $marks = [];
        $network = self::network($this->address());
        if ($network !== null) {
            $marks['address'] = $this->mark("$attempt address $network");
        }
        $marks['agent'] = $this->mark("$attempt agent " . ($this->server['HTTP_USER_AGENT'] ?? ''));
        return $marks;
    }

    /**
     * A keyed hash.
     *
     * @param string $of
     * @return string
     */
    private function mark(string $of): string {
        return substr(hash_hmac('sha256', $of, $this->settings['key']), 0, self::DIGITS);
    }

    /**
     * The address of the browser, from where the site says that it is to be read.
     *
     * @return string
     */
    private function address(): string {
        foreach (self::SKIP as $header => $bit) {
            if (!($this->settings['skip'] & $bit) && !empty($this->server[$header])) {
                $addresses = array_map(self::without_port(...), explode(',', $this->server[$header]));
                $outside = array_filter($addresses, fn($address) => !$this->is_proxy($address));
                // Whatever stands before the last one may have been sent by the browser itself.
                return (string) end($outside);
            }
        }
        return $this->server['REMOTE_ADDR'] ?? '';
    }

    /**
     * An address without port and brackets.
     *
     * @param string $address
     * @return string
     */
    private static function without_port(string $address): string {
        return preg_replace('/^\[(.*)\](:\d+)?$|^([^:]*):\d+$/', '$1$3', trim($address));
    }

    /**
     * Whether an address is one of the site's proxies: those of $CFG->reverseproxyignore, single ones and with a prefix.
     *
     * @param string $address
     * @return bool
     */
    private function is_proxy(string $address): bool {
        $packed = @inet_pton($address);
        foreach (array_filter(array_map('trim', explode(',', $this->settings['proxies']))) as $proxy) {
            [$network, $prefix] = explode('/', $proxy) + [1 => null];
            $network = @inet_pton($network);
            if (!$packed || !$network || strlen($packed) !== strlen($network)) {
                continue;
            }
            $bits = $prefix === null ? 8 * strlen($network) : (int) $prefix;
            $bytes = intdiv($bits, 8);
            $mask = 0xff00 >> $bits % 8 & 0xff;
            if (
                strncmp($packed, $network, $bytes) === 0
                    && (!$mask || (ord($packed[$bytes]) & $mask) === (ord($network[$bytes]) & $mask))
            ) {
                return true;
            }
        }
        return false;
    }

    /**
     * What of an address stays the same while nothing changes: of IPv6 the network, because browsers change the rest
     * of it by themselves, for privacy.
     *
     * @param string $address
     * @return string|null null: not an address.
     */
    private static function network(string $address): ?string {
        $packed = @inet_pton($address);
        if (!$packed) {
            return null;
        }
        $mapped = str_repeat("\0", 10) . "\xff\xff";
        if (str_starts_with($packed, $mapped)) {
            return bin2hex(substr($packed, 12));
        }
        return bin2hex(substr($packed, 0, strlen($packed) === 16 ? 8 : 4));
    }
}
