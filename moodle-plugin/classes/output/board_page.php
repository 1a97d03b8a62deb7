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

use core\output\renderable;
use core\output\renderer_base;
use core\output\templatable;
use local_examstream\local\help_queue;
use local_examstream\local\invigilator;
use local_examstream\local\presence;
use local_examstream\local\roster;
use local_examstream\local\switches;

/**
 * The page of the live board: everything but the students, who come by the web services.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class board_page implements renderable, templatable {
    /** The columns, in their order. */
    private const COLUMNS = ['student', 'status', 'questions', 'progress', 'timeleft', 'signals', 'help'];

    /** What the students can be filtered by, in the order of the buttons. */
    private const FILTERS = ['all', 'here', 'away', 'gone', 'notstarted', 'overdue', 'finished', 'abandoned', 'help', 'signals'];

    /**
     * The constructor.
     *
     * @param invigilator $viewer
     */
    public function __construct(
        /** @var invigilator who looks. */
        private readonly invigilator $viewer,
    ) {
    }

    #[\Override]
    public function export_for_template(renderer_base $output): array {
        $roster = new roster($this->viewer);
        $groups = [];
        foreach ($roster->filter_groups() as $id => $name) {
            $groups[] = ['id' => $id, 'name' => $name];
        }
        $columns = [];
        foreach (self::COLUMNS as $i => $name) {
            $columns[] = [
                'name' => $name,
                'index' => $i + 1,
                'label' => get_string("board_column_$name", 'local_examstream'),
            ];
        }
        return [
            'config' => json_encode($this->config($roster)),
            'groups' => $groups,
            'columns' => $columns,
            'filters' => array_map(fn($name) => [
                'name' => $name,
                'label' => get_string("board_filter_$name", 'local_examstream'),
                'active' => $name === 'all',
            ], self::FILTERS),
            'download' => $output->download_dataformat_selector(
                get_string('board_download', 'local_examstream'),
                (new \moodle_url('/local/examstream/board.php'))->out(false),
                'download',
                ['cmid' => $this->viewer->cm->id]
            ),
        ];
    }

    /**
     * What the script has to know.
     *
     * @param roster $roster
     * @return array
     */
    private function config(roster $roster): array {
        $may = fn(string $capability) => has_capability("local/examstream:$capability", $this->viewer->context);
        return presence::limits() + [
            'cmid' => (int) $this->viewer->cm->id,
            'me' => $this->viewer->userid,
            'mayhelp' => $may('answerhelp'),
            'helpdesk' => in_array('helpdesk', switches::names(switches::of_quiz((int) $this->viewer->cm->instance)), true),
            'storyurl' => $may('viewstory') ? (new \moodle_url('/local/examstream/attempt.php'))->out(false) : '',
            'maxtext' => help_queue::MAX_TEXT,
            'held' => help_queue::HELD,
            'timezone' => \core_date::get_user_timezone(),
            'locale' => str_replace('_', '-', get_string('iso6391', 'langconfig')),
            'hour12' => str_contains(get_string('strftimetime', 'langconfig'), '%I'),
        ];
    }
}
