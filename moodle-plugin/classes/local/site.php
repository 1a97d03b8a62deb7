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
 * The site's own settings, with their defaults in one place.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class site {
    /** Defaults of the site settings. */
    public const DEFAULTS = [
        'enabled' => 1,
        'quizdefault' => 1,
        'mode' => 'door',
        'aliveseconds' => 15,
        'tokenlife' => 4 * HOURSECS,
        'maxbody' => door::LIMITS['maxbody'],
        'maxrecord' => door::LIMITS['maxrecord'],
        'maxfields' => door::LIMITS['maxfields'],
        // Who looks after calls, and what is noted about students, is decided by people, not by an installation.
        'helpdesk' => 'off',
        'signalhidden' => 'off',
        'signalclipboard' => 'off',
        'signalconnection' => 'off',
        'signaladdress' => 'off',
        'signaldevice' => 'off',
    ];

    /**
     * A setting.
     *
     * @param string $name
     * @return mixed
     */
    public static function setting(string $name): mixed {
        $value = get_config('local_examstream', $name);
        return $value === false ? self::DEFAULTS[$name] : $value;
    }

    /**
     * The site's id in the stream: two sites may share a store, and a reinstalled one must not meet its old answers.
     *
     * @return string
     */
    public static function id(): string {
        $id = get_config('local_examstream', 'siteid');
        if (!$id) {
            $id = bin2hex(random_bytes(8));
            set_config('siteid', $id, 'local_examstream');
        }
        return $id;
    }

    /**
     * The limits of both doors. A site may lower them; the stream itself takes no more.
     *
     * @return int[]
     */
    public static function limits(): array {
        $limits = [];
        foreach (door::LIMITS as $name => $most) {
            $limits[$name] = min($most, max(1, (int) self::setting($name)));
        }
        return $limits;
    }

    /**
     * The time with its microseconds.
     *
     * @return float seconds.
     */
    public static function now(): float {
        return (float) \core\di::get(\core\clock::class)->now()->format('U.u');
    }

    /**
     * Whether answers of a quiz go into the stream.
     *
     * @param int $quizid
     * @return bool
     */
    public static function is_quiz_enabled(int $quizid): bool {
        global $DB;
        if (!self::setting('enabled')) {
            return false;
        }
        $enabled = $DB->get_field('local_examstream_quiz', 'enabled', ['quizid' => $quizid]);
        // A quiz may have a row that says nothing of this.
        return (bool) (is_numeric($enabled) ? $enabled : self::setting('quizdefault'));
    }

    /**
     * Notes an error of ours and lets the page go on; never the message of a foreign error, it might quote an answer.
     * The state store's is the extension's own.
     *
     * @param string $doing what failed, in English.
     * @param \Throwable $e
     */
    public static function note(string $doing, \Throwable $e): void {
        $where = $e instanceof \ExamStream\StateException
            ? $e->getMessage()
            : get_class($e) . ' at ' . basename($e->getFile()) . ':' . $e->getLine();
        // phpcs:ignore moodle.PHP.ForbiddenFunctions.FoundWithAlternative -- an exam's operator looks there, debugging or not.
        error_log("local_examstream: $doing failed ($where); the page goes on without it");
    }
}
