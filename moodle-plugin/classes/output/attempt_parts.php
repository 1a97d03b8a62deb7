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

namespace local_examstream\output;

use local_examstream\local\helpdesk;

/**
 * What we add to the pages of an attempt: what is noted about it, and the help desk. The script puts it in its places.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class attempt_parts implements \renderable, \templatable {
    /**
     * The constructor.
     *
     * @param string[] $switches those that are on, {@see \local_examstream\local\switches}.
     */
    public function __construct(
        /** @var string[] those that are on. */
        private readonly array $switches,
    ) {
    }

    #[\Override]
    public function export_for_template(\renderer_base $output): array {
        $signals = array_values(array_filter($this->switches, fn($switch) => str_starts_with($switch, 'signal')));
        $names = array_map(fn($signal) => get_string("{$signal}_name", 'local_examstream'), $signals);
        return [
            'noted' => (bool) $signals,
            'summary' => get_string('signal_summary', 'local_examstream', implode(', ', $names)),
            'signals' => array_map(fn($signal) => get_string("{$signal}_noted", 'local_examstream'), $signals),
            'helpdesk' => in_array('helpdesk', $this->switches, true),
            'maxtext' => helpdesk::MAX_TEXT,
            'maxopen' => helpdesk::MAX_OPEN,
            'maxcalls' => helpdesk::MAX_CALLS,
            'toomanyopen' => get_string('helpdesk_toomanyopen', 'local_examstream', helpdesk::MAX_OPEN),
            'toomanycalls' => get_string('helpdesk_toomanycalls', 'local_examstream', helpdesk::MAX_CALLS),
            // The script knows the number.
            'question' => get_string('questionx', 'question', '{}'),
        ];
    }
}
