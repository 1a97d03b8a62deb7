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
 * What one page of one attempt may write, and as whom.
 *
 * The page token carries it to the door; the web service reads the same from the database. Everything that ends up
 * in a record's envelope comes from here, never from the browser.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class grant {
    /**
     * The constructor.
     *
     * @param string $site the site's id in the stream.
     * @param int $attempt quiz_attempts.id.
     * @param int $user the student.
     * @param int $quiz quiz.id.
     * @param int $usage question_usages.id.
     * @param int[] $slots slot => question_attempts.id.
     * @param string $page the page this was made for, see {@see page::mint()}.
     * @param int $expires Unix time from which nothing is taken any more.
     * @param bool $preview whether this is a teacher's preview.
     * @param int $switches what is on besides answers, {@see switches::BITS}.
     */
    public function __construct(
        /** @var string the site's id in the stream. */
        public readonly string $site,
        /** @var int quiz_attempts.id. */
        public readonly int $attempt,
        /** @var int the student. */
        public readonly int $user,
        /** @var int quiz.id. */
        public readonly int $quiz,
        /** @var int question_usages.id. */
        public readonly int $usage,
        /** @var int[] slot => question_attempts.id. */
        public readonly array $slots,
        /** @var string the page this was made for. */
        public readonly string $page,
        /** @var int Unix time from which nothing is taken any more. */
        public readonly int $expires,
        /** @var bool whether this is a teacher's preview. */
        public readonly bool $preview,
        /** @var int what is on besides answers. */
        public readonly int $switches = 0,
    ) {
    }

    /**
     * Whether something is on.
     *
     * @param string $switch
     * @return bool
     */
    public function has(string $switch): bool {
        return (bool) ($this->switches & switches::BITS[$switch]);
    }
}
