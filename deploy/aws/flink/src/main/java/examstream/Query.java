package examstream;

import java.io.IOException;
import java.io.Serializable;
import java.net.URISyntaxException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * A file of SQL.
 *
 * @param signal the name of the signals that its rows are; null where its head says none
 */
record Query(String name, String text, String signal) implements Serializable {
    /** {@code -- signal: gone} among the comments at the head of the file. */
    private static final Pattern SIGNAL =
            Pattern.compile("\\A(?:\\s*--[^\\n]*\\n|\\s+)*?\\s*--+\\s*signal:\\s*([A-Za-z0-9_-]+)\\s*(?:\\n|\\z)");

    static Query of(String file, String content) {
        Matcher head = SIGNAL.matcher(content);
        String text = content.strip();
        return new Query(
                file.substring(file.lastIndexOf('/') + 1).replaceAll("\\.sql$", ""),
                text.endsWith(";") ? text.substring(0, text.length() - 1) : text,
                head.find() ? head.group(1) : null);
    }

    static List<Query> inFolder(Path folder) throws IOException {
        List<Path> files;
        try (Stream<Path> entries = Files.list(folder)) {
            files = entries.filter(file -> file.toString().endsWith(".sql")).sorted().toList();
        }
        List<Query> queries = new ArrayList<>();
        for (Path file : files) {
            queries.add(of(file.getFileName().toString(), Files.readString(file)));
        }
        return queries;
    }

    /** Those below {@code sql/} in the jar that this class came from. */
    static List<Query> inThisJar() throws IOException, URISyntaxException {
        Path code = Path.of(Query.class.getProtectionDomain().getCodeSource().getLocation().toURI());
        List<Query> queries = new ArrayList<>();
        try (JarFile jar = new JarFile(code.toFile())) {
            for (JarEntry entry : Collections.list(jar.entries())) {
                if (entry.getName().matches("sql/[^/]+\\.sql")) {
                    byte[] content = jar.getInputStream(entry).readAllBytes();
                    queries.add(of(entry.getName(), new String(content, StandardCharsets.UTF_8)));
                }
            }
        }
        return queries;
    }
}
