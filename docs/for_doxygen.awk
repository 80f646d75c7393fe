# What Doxygen reads in place of a file, line by line. Of a header: the comment that it begins with becomes that of the
# file, and a comment behind a member of a type that of the member. Of a document: links to files that are no page
# become text.
FILENAME ~ /\.md$/ {
  while (match($0, /\]\(\.\.\/[^)]*\)/)) {
    end = RSTART
    rest = substr($0, RSTART + RLENGTH)
    begin = match(substr($0, 1, end - 1), /\[[^[]*$/)
    $0 = substr($0, 1, begin - 1) substr($0, begin + 1, end - begin - 1) rest
  }
  print
  next
}
FNR == 1 && /^#pragma once/ { print "/// @file"; in_head = 1; next }
in_head && /^\/\// { sub(/^\/\//, "///"); print; next }
{ in_head = 0 }
/^(struct|class|enum class) .*\{$/ { in_type = 1 }
/^\};/ { in_type = 0 }
in_type && /^  [^ \/].*[;,]  \/\/ / { sub(/  \/\/ /, "  ///< ") }
{ print }
