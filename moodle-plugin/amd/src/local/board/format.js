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

/**
 * Times and durations as the viewer reads them.
 *
 * @module     local_examstream/local/board/format
 * @copyright  2026 The Exam Stream contributors
 * @license    https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */

/**
 * A duration as a clock shows it.
 *
 * @param {Number} seconds
 * @return {String} such as 1:02:05, or 2:05
 */
export const duration = seconds => {
    const whole = Math.max(0, Math.floor(seconds));
    const two = number => String(number).padStart(2, '0');
    const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
    return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
};

/**
 * Writes times of day in the zone of the viewer's profile, which may not be that of the computer.
 *
 * @param {Object} config
 * @param {String} config.locale
 * @param {String} config.timezone
 * @param {Boolean} config.hour12
 * @return {Function} from seconds to text.
 */
export const clock = ({locale, timezone, hour12}) => {
    const format = new Intl.DateTimeFormat(locale, {
        hour: '2-digit', minute: '2-digit', second: '2-digit', timeZone: timezone, hourCycle: hour12 ? 'h12' : 'h23',
    });
    return seconds => format.format(new Date(seconds * 1000));
};
