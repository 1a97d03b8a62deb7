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
 * A request that is refused: the HTTP status and what the script is told.
 *
 * Carries no answer contents, so that it may be logged.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class refusal extends \Exception {
    /**
     * The constructor.
     *
     * @param int $status HTTP status.
     * @param array $body what the script is told: at least 'error'.
     */
    public function __construct(
        /** @var int HTTP status. */
        public readonly int $status,
        /** @var array what the script is told. */
        public readonly array $body,
    ) {
        parent::__construct($body['error'] . (isset($body['message']) ? ': ' . $body['message'] : ''));
    }

    /**
     * One record is refused; the script drops it and sends the others again.
     *
     * @param int $index of the record in the request; -1: the request as a whole.
     * @param string $message why, in English, for the developer's console.
     * @return self
     */
    public static function bad(int $index, string $message): self {
        return new self(400, ['error' => 'bad', 'index' => $index, 'message' => $message]);
    }
}
