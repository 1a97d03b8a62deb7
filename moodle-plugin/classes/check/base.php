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

use core\check\check;
use core\check\result;
use local_examstream\local\backend;

/**
 * What our checks have in common: their name is a string of the plugin, and they end in a result whatever happens.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
abstract class base extends check {
    #[\Override]
    public function get_name(): string {
        return get_string('check_' . $this->get_id(), 'local_examstream');
    }

    #[\Override]
    public function get_action_link(): ?\action_link {
        return new \action_link(
            new \moodle_url('/admin/settings.php', ['section' => 'local_examstream']),
            get_string('pluginname', 'local_examstream')
        );
    }

    #[\Override]
    public function get_result(): result {
        $backend = \core\di::get(backend::class);
        if (!$backend->is_available()) {
            return new result(result::NA, get_string('check_extension_missing', 'local_examstream'));
        }
        try {
            return $this->look($backend);
        } catch (\Throwable $e) {
            return $this->result(result::ERROR, 'failed', get_class($e) . ': ' . $e->getMessage());
        }
    }

    /**
     * Looks, with the extension there.
     *
     * @param backend $backend
     * @return result
     */
    abstract protected function look(backend $backend): result;

    /**
     * A result whose summary is a string of this check's.
     *
     * @param string $status
     * @param string $summary end of the string's name.
     * @param mixed $a what the string is about.
     * @param string $details
     * @return result
     */
    protected function result(string $status, string $summary, mixed $a = null, string $details = ''): result {
        $name = $summary === 'failed' ? 'check_failed' : "check_{$this->get_id()}_$summary";
        return new result($status, get_string($name, 'local_examstream', $a), s($details));
    }
}
