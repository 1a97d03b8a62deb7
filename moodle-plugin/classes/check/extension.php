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

namespace local_examstream\check;

use core\check\result;
use local_examstream\local\backend;

/**
 * Is the PHP extension loaded?
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
class extension extends base {
    #[\Override]
    public function get_result(): result {
        // Without it the quiz is stock Moodle's, and nobody would notice.
        $backend = \core\di::get(backend::class);
        $version = phpversion('exam_stream');
        return match (true) {
            $backend->is_available() => $this->look($backend),
            $version === false => $this->result(result::ERROR, 'missing'),
            default => $this->result(result::ERROR, 'old', $version),
        };
    }

    #[\Override]
    protected function look(backend $backend): result {
        return $this->result(result::OK, 'ok', (string) phpversion('exam_stream'));
    }
}
