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

namespace local_examstream;

use local_examstream\local\backend;
use local_examstream\local\capture;
use local_examstream\local\extension;
use local_examstream\local\resume_request;
use local_examstream\local\site;
use local_examstream\local\switches;
use local_examstream\output\attempt_parts;

/**
 * Callbacks of Moodle's hooks. Nothing of ours may break a page: each of them ends in a log line at worst.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class hook_callbacks {
    /**
     * The extension is what stands behind the backend, but in tests.
     *
     * @param \core\hook\di_configuration $hook
     */
    public static function di_configuration(\core\hook\di_configuration $hook): void {
        $hook->add_definition(backend::class, fn() => new extension());
    }

    /**
     * Restores answers before a page of the quiz loads the attempt.
     *
     * @param \core\hook\after_config $hook
     */
    public static function after_config(\core\hook\after_config $hook): void {
        global $SCRIPT;
        // Every page of Moodle comes through here.
        if (is_string($SCRIPT) && str_starts_with($SCRIPT, '/mod/quiz/')) {
            try {
                resume_request::for_page($SCRIPT);
            } catch (\Throwable $e) {
                site::note('restoring the attempt', $e);
            }
        }
    }

    /**
     * The script and what it needs, on the pages of an attempt.
     *
     * Its configuration is in an element of its own: arguments of js_call_amd() are limited to 1 kB. The summary gets
     * none, because Moodle does not say in time that it lets the student see it: there the script goes on with what the
     * attempt's last page in this tab was given.
     *
     * @param \core\hook\output\before_footer_html_generation $hook
     */
    public static function before_footer_html_generation(
        \core\hook\output\before_footer_html_generation $hook,
    ): void {
        global $PAGE;
        try {
            $config = null;
            if ($PAGE->pagetype === 'mod-quiz-attempt') {
                $config = capture::config((int) ($PAGE->url->get_param('page') ?? 0));
                if ($config === null) {
                    return;
                }
            } else if ($PAGE->pagetype !== 'mod-quiz-summary' || !capture::is_possible((int) $PAGE->cm->instance)) {
                return;
            }
            $parts = new attempt_parts($config['switches'] ?? switches::names(switches::of_quiz((int) $PAGE->cm->instance)));
            $hook->add_html($hook->renderer->render_from_template(
                'local_examstream/attempt_parts',
                $parts->export_for_template($hook->renderer)
            ));
            if ($config !== null) {
                $json = json_encode($config, JSON_THROW_ON_ERROR | JSON_HEX_TAG | JSON_HEX_AMP);
                $hook->add_html(\html_writer::tag(
                    'script',
                    $json,
                    ['type' => 'application/json', 'id' => 'local-examstream-config']
                ));
            }
            $PAGE->requires->js_call_amd('local_examstream/capture', 'init');
        } catch (\Throwable $e) {
            site::note('giving the page its token', $e);
        }
    }
}
